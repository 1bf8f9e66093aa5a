/**
 * Where to go after signing in: a path of this site, whatever else an address may ask for. What
 * begins with two slashes, or with a backslash in their place, would be another site.
 */
export function nextPath(asked: unknown): string {
  return typeof asked === 'string' && /^\/(?![/\\])/.test(asked) ? asked : '/'
}

/**
 * The path of an address that the server gave: whatever name it knows itself by, what it serves comes
 * from this origin.
 */
export function pathOf(url: string): string {
  const { pathname, search } = new URL(url, window.location.href)
  return pathname + search
}
