import 'graphiql/setup-workers/vite'
import 'graphiql/style.css'
import './page.css'
import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit'
import { GraphiQL } from 'graphiql'
import { Kind, parse, type DocumentNode } from 'graphql'
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

/**
 * GraphiQL learns a moment after a tab was switched, or a document edited, what operations it holds.
 * Run before that, it names one of the other tab and takes a subscription for a query.
 */
const asWritten: Fetcher = (params, options) => {
  const send = createGraphiQLFetcher({
    url: endpoint.href,
    wsClient: socketFor((options?.headers ?? {}) as Headers),
  })
  const document = parsed(params.query)
  if (!document) return send(params, options)
  const operations = document.definitions.filter((it) => it.kind === Kind.OPERATION_DEFINITION)
  const known = operations.some((it) => it.name?.value === params.operationName)
  const only = operations.length === 1 ? operations[0]?.name?.value : undefined
  const operationName = known ? params.operationName : only
  return send({ ...params, operationName }, { ...options, documentAST: document })
}

/** What cannot be parsed is for the server to refuse. */
function parsed(query: string): DocumentNode | undefined {
  try {
    return parse(query)
  } catch {
    return undefined
  }
}

createRoot(document.getElementById('graphiql')!).render(
  createElement(GraphiQL, {
    fetcher: asWritten,
    defaultTabs: examples,
    defaultEditorToolsVisibility: 'variables',
    // A token in localStorage outlives its tab; whoever wants that can switch it on.
    shouldPersistHeaders: false,
    inputValueDeprecation: true,
    schemaDescription: true,
  }),
)
