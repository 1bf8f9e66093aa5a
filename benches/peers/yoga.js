// GraphQL Yoga with graphql-ws.
import { createServer } from 'node:http'
import { useServer } from 'graphql-ws/use/ws'
import { createPubSub, createSchema, createYoga } from 'graphql-yoga'
import { WebSocketServer } from 'ws'

import { address, emit, topic, typeDefs } from './events.js'

const pubSub = createPubSub()
const yoga = createYoga({
  schema: createSchema({
    typeDefs,
    resolvers: {
      Subscription: { benchEvents: { subscribe: (_, { loc }) => pubSub.subscribe(topic(loc)) } },
    },
  }),
  graphiql: { subscriptionsProtocol: 'WS' },
})
const server = createServer((request, response) => {
  if (!request.url.startsWith('/bench/')) return yoga(request, response)
  emit(request.url, (topic, payload) => pubSub.publish(topic, payload))
  response.writeHead(204).end()
})
// The door for events must not be closed while nothing else gets its turn.
server.keepAliveTimeout = 0
const webSockets = new WebSocketServer({ server, path: yoga.graphqlEndpoint })
useServer(
  {
    execute: (args) => args.rootValue.execute(args),
    subscribe: (args) => args.rootValue.subscribe(args),
    onSubscribe: async (ctx, _id, params) => {
      const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped({
        ...ctx,
        req: ctx.extra.request,
        socket: ctx.extra.socket,
        params,
      })
      const args = {
        schema,
        operationName: params.operationName,
        document: parse(params.query),
        variableValues: params.variables,
        contextValue: await contextFactory(),
        rootValue: { execute, subscribe },
      }
      const errors = validate(args.schema, args.document)
      return errors.length ? errors : args
    },
  },
  webSockets,
)
server.listen(address())
