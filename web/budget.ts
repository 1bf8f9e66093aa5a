import { gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'

/**
 * Fails the build when the script that a visitor needs before anything is seen grows beyond `most`
 * bytes, gzipped: the page's own and all that it imports at once. What is loaded when it is needed
 * does not count, and the player must be among that.
 */
export function budget(page: string, most: number): Plugin {
  return {
    name: 'budget',
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === 'chunk')
      const entry = chunks.find((chunk) => chunk.isEntry && chunk.facadeModuleId?.endsWith(page))
      if (!entry) return this.error(`${page} is not built`)
      const needed = new Set([entry])
      for (const chunk of needed) {
        for (const name of chunk.imports) {
          const found = chunks.find((it) => it.fileName === name)
          if (found) needed.add(found)
        }
      }
      const bytes = [...needed].reduce((sum, chunk) => sum + gzipSync(chunk.code).length, 0)
      if (bytes > most) {
        this.error(`${page} needs ${bytes} bytes of script (gzipped); ${most} are the most`)
      }
      const heavy = [...needed].flatMap((chunk) => chunk.moduleIds).filter((id) => HEAVY.test(id))
      if (heavy.length > 0) this.error(`${page} loads at once: ${heavy.join(', ')}`)
    },
  }
}

/** What only those load who see it. */
const HEAVY = /node_modules\/(video\.js|uplot|react|monaco-editor)\//
