/**
 * Where to go after signing in: a path of this site, whatever else an address may ask for. What
 * begins with two slashes, or with a backslash in their place, would be another site.
 */
export function nextPath(asked: unknown): string {
  return typeof asked === 'string' && /^\/(?![/\\])/.test(asked) ? asked : '/'
}
