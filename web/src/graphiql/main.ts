import 'graphiql/setup-workers/vite'
import 'graphiql/style.css'
import './page.css'
import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit'
import { GraphiQL } from 'graphiql'
import { createClient, type Client } from 'graphql-ws'
import { createElement } from 'react'
import { createRoot } from 'react-dom/client'
import { examples } from './examples'

const endpoint = new URL('/graphql', window.location.href)
const socketEndpoint = new URL(endpoint)
socketEndpoint.protocol = endpoint.protocol === 'https:' ? 'wss:' : 'ws:'

type Headers = Record<string, string>

/**
 * Browsers cannot set headers on a WebSocket, so those of the headers tab go into connection_init.
 * It is sent once a connection: other headers need another socket, equal ones share theirs.
 */
const socketFor = (() => {
  let held: { key: string; client: Client } | undefined
  return (headers: Headers): Client => {
    const lowered = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
    )
    const key = JSON.stringify(lowered)
    if (held?.key !== key) {
      const client = createClient({
        url: socketEndpoint.href,
        lazy: true,
        keepAlive: 10_000,
        connectionParams: lowered,
      })
      held = { key, client }
    }
    return held.client
  }
})()

const fetcher: Fetcher = (params, options) => {
  const send = createGraphiQLFetcher({
    url: endpoint.href,
    wsClient: socketFor((options?.headers ?? {}) as Headers),
  })
  return send(params, options)
}

createRoot(document.getElementById('graphiql')!).render(
  createElement(GraphiQL, {
    fetcher,
    defaultTabs: examples,
    defaultEditorToolsVisibility: 'variables',
    // A token in localStorage outlives its tab; whoever wants that can switch it on.
    shouldPersistHeaders: false,
    inputValueDeprecation: true,
    schemaDescription: true,
  }),
)
