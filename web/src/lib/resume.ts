/**
 * A subscription request whose variables are read anew whenever it is written to a socket: after a
 * reconnect it must ask for what follows the last event seen, not for what followed the first.
 */
export function resumable<Request extends { variables?: object | undefined }>(
  request: Request,
  resume?: () => object,
): Request {
  return {
    ...request,
    get variables() {
      return { ...request.variables, ...resume?.() }
    },
  }
}
