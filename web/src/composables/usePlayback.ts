import { useClientHandle } from '@urql/vue'
import { ref } from 'vue'
import { StartPlaybackDocument } from '../graphql/graphql'
import { codeOf } from '../lib/listen'

/** Answers that no second try will change: the channel is for others, or for whoever signs in. */
const DENIALS = ['FORBIDDEN', 'UNAUTHENTICATED', 'NOT_FOUND'] as const
export type Denial = (typeof DENIALS)[number]

/** The playlist's URL for this one viewer: asked for once, so that the session counts once. */
export function usePlayback(loc: string) {
  const { client } = useClientHandle()
  const denied = ref<Denial | null>(null)
  let current: { path: string; expiresAt: number } | null = null

  async function start(fallback: string): Promise<string | null> {
    const { data, error } = await client.mutation(StartPlaybackDocument, { loc }).toPromise()
    const code = codeOf(error)
    denied.value = DENIALS.find((denial) => denial === code) ?? null
    if (denied.value) return null
    // Public video goes on without the API, so that the picture does not depend on it.
    if (!data) return fallback
    const { url, expiresAt } = data.startPlayback.playback
    // Only the path: whatever name the server knows itself by, the video comes from this origin.
    const { pathname, search } = new URL(url, window.location.href)
    current = { path: pathname + search, expiresAt: Date.parse(expiresAt) }
    return current.path
  }

  /** The URL to play, or null if this viewer may not. `renew` when the last one was refused. */
  async function playlist(fallback: string, renew: boolean): Promise<string | null> {
    if (current && !renew && Date.now() < current.expiresAt) return current.path
    return start(fallback)
  }

  return { playlist, denied }
}
