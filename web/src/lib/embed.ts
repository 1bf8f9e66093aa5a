/** The address of a channel's player alone, for pages of others. */
export function embedUrl(origin: string, loc: string): string {
  return `${origin}/embed/${loc}/`
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** What to put into a page so that a channel's player is in it. */
export function embedSnippet(origin: string, loc: string, name: string): string {
  const title = name.replace(/[&<>"]/g, (character) => ESCAPES[character]!)
  return (
    `<iframe src="${embedUrl(origin, loc)}" title="${title}" width="640" height="360" ` +
    'allow="autoplay; fullscreen; picture-in-picture" allowfullscreen style="border:0"></iframe>'
  )
}
