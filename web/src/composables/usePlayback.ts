import { useClientHandle } from '@urql/vue'
import { ref, shallowRef } from 'vue'
import { StartPlaybackDocument, type StreamCardFragment } from '../graphql/graphql'
import { failureOf, type Failure } from '../lib/failure'
import { pathOf } from '../lib/next'

/** Answers that no second try will change: the channel is for others, or for whoever signs in. */
const DENIALS = ['FORBIDDEN', 'UNAUTHENTICATED', 'NOT_FOUND'] as const
export type Denial = (typeof DENIALS)[number]

/** What to play: the list of the last half minute, and the longer one to go back in, where one may. */
export interface Playlists {
  url: string
  dvrUrl: string | null
}

/** What plays a public stream without asking, as long as nginx is there. */
export const openTo = ({ playbackUrl, dvrUrl }: StreamCardFragment): Playlists => ({
  url: playbackUrl,
  dvrUrl: dvrUrl ?? null,
})

/** The playlists' URLs for this one viewer: asked for once, so that the session counts once. */
export function usePlayback(loc: string) {
  const { client } = useClientHandle()
  const denied = ref<Denial | null>(null)
  /** What became of the password that was given last. */
  const failure = shallowRef<Failure | null>(null)
  const busy = ref(false)
  /** What opened the channel: kept for as long as this page is open, and nowhere else. */
  let password: string | null = null
  let current: (Playlists & { expiresAt: number }) | null = null

  /** Asks for a URL; the failure when there is none. */
  async function ask(given: string | null): Promise<Failure | null> {
    const variables = { loc, password: given, renews: current?.url ?? null }
    const { data, error } = await client.mutation(StartPlaybackDocument, variables).toPromise()
    if (!data) return failureOf(error)
    const { url, dvrUrl, expiresAt } = data.startPlayback.playback
    current = {
      url: pathOf(url),
      dvrUrl: dvrUrl ? pathOf(dvrUrl) : null,
      expiresAt: Date.parse(expiresAt),
    }
    return null
  }

  async function start(fallback: Playlists): Promise<Playlists | null> {
    const refused = await ask(password)
    if (!refused) {
      denied.value = null
      return current ?? fallback
    }
    // The channel has another password by now: it is for whoever knows that one.
    const isOld = refused.code === 'BAD_USER_INPUT' && refused.field === 'password'
    denied.value = isOld ? 'FORBIDDEN' : (DENIALS.find((it) => it === refused.code) ?? null)
    if (isOld) password = null
    // Public video goes on without the API, so that the picture does not depend on it.
    return denied.value ? null : fallback
  }

  /** What to play, or null if this viewer may not. `renew` when the last one was refused. */
  async function playlists(fallback: Playlists, renew: boolean): Promise<Playlists | null> {
    if (current && !renew && Date.now() < current.expiresAt) return current
    return start(fallback)
  }

  /** Tries a password; once it was right, there is something to play. */
  async function unlock(given: string) {
    if (busy.value) return
    busy.value = true
    failure.value = await ask(given)
    busy.value = false
    if (failure.value) return
    password = given
    denied.value = null
  }

  return { playlists, denied, unlock, failure, busy }
}
