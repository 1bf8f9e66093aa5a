import { resolve } from 'node:path'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'
import type { Plugin } from 'vite'
import { budget } from './budget.ts'

const page = (name: string) => resolve(import.meta.dirname, name)
const backend = { target: 'http://127.0.0.1:8080', changeOrigin: true, ws: true }

/**
 * The player's stylesheet carries an icon font as a data: URI, which the pages' CSP forbids. Its SVG
 * icons are used instead, so the font is taken out.
 */
const withoutIconFont: Plugin = {
  name: 'without-icon-font',
  enforce: 'pre',
  transform(code, id) {
    if (!id.includes('video-js.css')) return null
    return { code: code.replace(/@font-face\s*\{[^}]*VideoJS[^}]*\}/g, ''), map: null }
  },
}

export default defineConfig({
  // The site promises less than 200 KB; it is held to what it needs, and some.
  plugins: [vue(), withoutIconFont, budget('/index.html', 120_000)],
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_I18N_LEGACY_API__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  build: {
    // The pages' CSP allows scripts, styles and fonts of this origin only: nothing may become a data: URI.
    assetsInlineLimit: 0,
    // GraphiQL's editor and the player are large and loaded apart; the figure to watch is index.html's.
    chunkSizeWarningLimit: 8000,
    reportCompressedSize: false,
    rolldownOptions: {
      input: [page('index.html'), page('embed.html'), page('graphiql.html')],
      // React's "use client" marks mean nothing to a page without a server part.
      onLog: (level, log, next) => log.code !== 'MODULE_LEVEL_DIRECTIVE' && next(level, log),
    },
  },
  worker: { format: 'es' },
  server: {
    proxy: {
      '/graphql': backend,
      '/channels': backend,
      '/covers': backend,
      '/live': backend,
      '/recordings': backend,
      '/clips': backend,
      '/stream-thumb': backend,
    },
  },
  test: { environment: 'happy-dom', include: ['src/**/*.test.ts'] },
})
