/**
 * JSON without loss: a number that JavaScript cannot hold as it was written, such as an id of 19 digits, is kept as text. What an operator
 * reads and sends back must be what was there.
 */
export class Exact {
  constructor(readonly text: string) {}
  toString() { return this.text }
  /** For stringify, which takes the mark away again. No text of the server has a NUL. */
  toJSON() { return '\0' + this.text }
}

const suspicious = /\d{16}|\d\.\d|\d[eE]|-0/
const stringOrNumber = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** Like JSON.parse, but numbers that would change become Exact. Throws SyntaxError. */
export function parse(text: string): unknown {
  const plain: unknown = JSON.parse(text)
  if (!suspicious.test(text)) return plain
  const marked = text.replace(stringOrNumber, (token) => (token.startsWith('"') || String(Number(token)) === token ? token : `"\\u0000${token}"`))
  return JSON.parse(marked, (_, value: unknown) => (typeof value === 'string' && value.startsWith('\0') ? new Exact(value.slice(1)) : value))
}

/** Like JSON.stringify with two blanks of indentation; Exact becomes the number that it was. */
export function stringify(value: unknown, indent = 2): string {
  return (JSON.stringify(value, null, indent) ?? '').replace(/"\\u0000([-+.\deE]+)"/g, '$1')
}
