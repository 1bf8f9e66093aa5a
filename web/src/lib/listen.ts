import type { AnyVariables, Client, CombinedError, TypedDocumentNode } from '@urql/core'
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
  const { unsubscribe } = pipe(
    client.subscription(document, variables, resume ? { resume } : {}),
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
