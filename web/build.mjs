// Puts the browser client of Socket.IO into dist/, from where the server embeds it. Its source map stays out, and
// so does the line that names it.
import { readFile, writeFile } from 'node:fs/promises'

const client = await readFile(new URL('node_modules/socket.io-client/dist/socket.io.min.js', import.meta.url), 'utf8')
await writeFile(new URL('dist/socket.io.js', import.meta.url), client.replace(/\n?\/\/# sourceMappingURL=\S+\s*$/, '\n'))
