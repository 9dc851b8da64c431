// What s1.mjs to s6.mjs stand on: pages of the six systems without a browser around them. What a page shows goes to
// standard output, {saw, args} per line; what its user does comes from standard input, {do, ...} per line.

import { createInterface } from "node:readline";

export const show = (saw, ...args) => process.stdout.write(JSON.stringify({ saw, args }) + "\n");

// obey does what the test says, until it closes the page.
export function obey(deeds) {
  const act = (line) => {
    const { do: deed, ...rest } = JSON.parse(line);
    deeds[deed](rest);
  };
  createInterface({ input: process.stdin }).on("line", act).on("close", () => process.exit(0));
}
