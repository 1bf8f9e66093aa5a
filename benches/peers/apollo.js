// Apollo Server with graphql-ws and express.
import { createServer } from 'node:http'
import { ApolloServer } from '@apollo/server'
import { ApolloServerPluginDrainHttpServer } from '@apollo/server/plugin/drainHttpServer'
import { expressMiddleware } from '@as-integrations/express5'
import { makeExecutableSchema } from '@graphql-tools/schema'
import express from 'express'
import { PubSub } from 'graphql-subscriptions'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

import { address, emit, topic, typeDefs } from './events.js'

const pubsub = new PubSub()
// Ten thousand listeners are meant.
pubsub.ee.setMaxListeners(0)
const schema = makeExecutableSchema({
  typeDefs,
  resolvers: {
    Subscription: { benchEvents: { subscribe: (_, { loc }) => pubsub.asyncIterableIterator(topic(loc)) } },
  },
})
const app = express()
const httpServer = createServer(app)
// The door for events must not be closed while nothing else gets its turn.
httpServer.keepAliveTimeout = 0
const wsServer = new WebSocketServer({ server: httpServer, path: '/graphql' })
const serverCleanup = useServer({ schema }, wsServer)
const server = new ApolloServer({
  schema,
  plugins: [
    ApolloServerPluginDrainHttpServer({ httpServer }),
    { serverWillStart: async () => ({ drainServer: async () => serverCleanup.dispose() }) },
  ],
})
await server.start()
app.post('/bench/events', (request, response) => {
  emit(request.url, (topic, payload) => pubsub.publish(topic, payload))
  response.sendStatus(204)
})
app.use('/graphql', express.json(), expressMiddleware(server))
httpServer.listen(address())
