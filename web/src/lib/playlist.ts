const FIRST_MS = 400
const LONGEST_MS = 2_000

export type PlaylistAnswer = 'ready' | 'refused' | 'aborted'

/**
 * Waits until the playlist answers. A broadcast that has just begun has none for the first seconds:
 * until then, and while the server is away, this asks again without a word.
 */
export async function untilPlaylist(
  url: string,
  signal: AbortSignal,
  get: typeof fetch = fetch,
): Promise<PlaylistAnswer> {
  for (let wait = FIRST_MS; !signal.aborted; wait = Math.min(wait * 1.5, LONGEST_MS)) {
    const status = await get(url, { signal, cache: 'no-store' }).then(
      (response) => response.status,
      () => 0,
    )
    if (signal.aborted) break
    if (status >= 200 && status < 300) return 'ready'
    if (status === 401 || status === 403) return 'refused'
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, wait)
      signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
    })
  }
  return 'aborted'
}
