// Puts the browser client of Socket.IO into dist/, from where the server embeds it, and compresses what browsers load. The source map
// of the client stays out, and so does the line that names it.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const dist = new URL('dist/', import.meta.url)
const client = await readFile(new URL('node_modules/socket.io-client/dist/socket.io.min.js', import.meta.url), 'utf8')
await writeFile(new URL('socket.io.js', dist), client.replace(/\n?\/\/# sourceMappingURL=\S+\s*$/, '\n'))

for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.(html|js|css|svg)$/.test(entry.name)) continue
  const file = `${entry.parentPath}/${entry.name}`
  const text = await readFile(file)
  await writeFile(file + '.gz', gzipSync(text, { level: 9 }))
  await writeFile(file + '.br', brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: text.length } }))
}
