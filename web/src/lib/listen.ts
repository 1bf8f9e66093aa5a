import {
  createRequest,
  type AnyVariables,
  type Client,
  type CombinedError,
  type TypedDocumentNode,
} from '@urql/core'
import { onEnd, pipe, subscribe } from 'wonka'

/** The stable code that the server puts on every error; undefined for a failure of the network. */
export function codeOf(error: CombinedError | undefined): string | undefined {
  const code = error?.graphQLErrors[0]?.extensions?.['code']
  return typeof code === 'string' ? code : undefined
}

interface Listener<Data> {
  data(data: Data): void
  /** Called at most once, with the error, or without one when the server ended the subscription. */
  over(error?: CombinedError): void
}

/** Below zero, where the client's own keys never are. */
let lastKey = 0

/**
 * Runs a subscription and answers how to stop it. The connection heals beneath it without a word;
 * `resume` gives the variables that then replace those of the start.
 */
export function listen<Data, Variables extends AnyVariables>(
  client: Client,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  listener: Listener<Data>,
  resume?: () => Partial<Variables>,
): () => void {
  let over = false
  const end = (error?: CombinedError) => {
    if (over) return
    over = true
    listener.over(error)
  }
  // The client would give an equal subscription to whoever asks later, who then missed its beginning.
  const request = { ...createRequest(document, variables), key: --lastKey }
  const { unsubscribe } = pipe(
    client.executeSubscription(request, resume ? { resume } : {}),
    onEnd(() => end()),
    subscribe((result) => {
      if (over) return
      if (result.error) end(result.error)
      else if (result.data) listener.data(result.data)
    }),
  )
  return () => {
    over = true
    unsubscribe()
  }
}
