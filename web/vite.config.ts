import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { ElementPlusResolver } from 'unplugin-vue-components/resolvers'
import components from 'unplugin-vue-components/vite'
import { defineConfig } from 'vite'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// `npm run dev` shows the pages with a server on its usual address behind them.
const server = process.env.ROLLCALL ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [
    vue(),
    // Only the components that a page uses go into it, with their styles.
    components({ dts: false, resolvers: [ElementPlusResolver()] }),
  ],
  resolve: {
    alias: {
      'rollcall-client': here('../clients/js/src/index.ts'),
      'socket.io-client': here('node_modules/socket.io-client'),
      '@': here('src'),
    },
  },
  build: {
    target: 'es2022',
    rolldownOptions: { input: { room: here('room.html'), admin: here('admin.html') } },
    // web.go serves them all from /assets, for ever: their names have a hash of what is in them.
    assetsDir: 'assets',
    // The folder itself is committed, for go:embed.
    emptyOutDir: false,
  },
  server: { proxy: { '/api': server, '/socket.io': { target: server, ws: true } } },
})
