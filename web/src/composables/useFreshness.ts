import { onScopeDispose } from 'vue'
import { freshness } from '../lib/freshness'

/**
 * For what no event tells of: reads it anew when the page is looked at again after a while, and some
 * time after what is returned was called.
 */
export function useFreshness(read: () => void): () => void {
  const { due, stop } = freshness(read)
  onScopeDispose(stop)
  return due
}
