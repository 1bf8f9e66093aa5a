// Mercurius with its own subscriptions.
import Fastify from 'fastify'
import mercurius from 'mercurius'

import { address, emit, topic, typeDefs } from './events.js'

// The door for events must not be closed while nothing else gets its turn.
const app = Fastify({ keepAliveTimeout: 0 })
app.register(mercurius, {
  schema: typeDefs,
  resolvers: {
    Subscription: {
      benchEvents: { subscribe: (_, { loc }, { pubsub }) => pubsub.subscribe(topic(loc)) },
    },
  },
  jit: 1,
  subscription: { fullWsTransport: true },
})
app.post('/bench/events', (request, reply) => {
  emit(request.url, (topic, payload) => app.graphql.pubsub.publish({ topic, payload }))
  reply.code(204).send()
})
await app.listen(address())
