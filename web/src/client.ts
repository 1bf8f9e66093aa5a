import { Client, fetchExchange, subscriptionExchange } from '@urql/core'
import { createClient as createSocketClient } from 'graphql-ws'
import { setConnection } from './connection'
import { answered, backoff, waitOrOnline } from './lib/backoff'
import { resumable } from './lib/resume'

const KEEP_ALIVE_MS = 10_000
const PONG_WITHIN_MS = 5_000

const endpoint = new URL('/graphql', window.location.href)

/** What the server closes a socket with whose session is over, or may more or less than before. */
const RIGHTS_CHANGED = 4403

/** One WebSocket for all subscriptions of the page, opened by the first and closed after the last. */
function createSocket(rightsChanged: () => void) {
  const url = new URL(endpoint)
  url.protocol = endpoint.protocol === 'https:' ? 'wss:' : 'ws:'
  let pongTimer: ReturnType<typeof setTimeout> | undefined

  const socket = createSocketClient({
    url: url.href,
    lazy: true,
    // A visit from page to page closes and opens subscriptions; the socket outlives the moment between.
    lazyCloseTimeout: 3_000,
    keepAlive: KEEP_ALIVE_MS,
    shouldRetry: () => true,
    retryAttempts: Infinity,
    retryWait: (retries) => waitOrOnline(backoff(retries)),
    on: {
      connected: () => setConnection('fine'),
      // A socket can die without a word (sleep, a changed network): an unanswered ping ends it.
      ping: (received) => {
        if (!received) pongTimer = setTimeout(() => socket.terminate(), PONG_WITHIN_MS)
      },
      pong: () => clearTimeout(pongTimer),
      closed: (event) => {
        clearTimeout(pongTimer)
        const { code } = event as CloseEvent
        // 1000 is this side closing a socket that nobody needs; all else interrupts somebody.
        if (code !== 1000) setConnection('lost')
        if (code === RIGHTS_CHANGED) rightsChanged()
      },
    },
  })
  return socket
}

/** What is asked in this way may come through before the socket tries again. */
async function ask(...request: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...request)
  if (response.status < 500) answered()
  return response
}

/**
 * The client, and how to open its socket anew: that belongs to whoever was signed in when it was
 * opened. `rightsChanged` is called when the server says that this is somebody else by now.
 */
export function createClient(rightsChanged: () => void) {
  const socket = createSocket(rightsChanged)
  const client = new Client({
    url: endpoint.href,
    preferGetMethod: false,
    fetch: ask,
    requestPolicy: 'network-only',
    exchanges: [
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (body, operation) => ({
          subscribe: (sink) => {
            const resume = operation.context['resume'] as (() => object) | undefined
            const { operationName, variables, query = '' } = body
            const payload = resumable({ query, operationName, variables }, resume)
            return { unsubscribe: socket.subscribe(payload, sink) }
          },
        }),
      }),
    ],
  })
  return { client, reconnect: () => socket.terminate() }
}
