/** A channel's picture, if pages of this site may load it: they load none from elsewhere. */
export function cover(imageUrl: string | null | undefined): string | null {
  return imageUrl?.startsWith('/') ? imageUrl : null
}
