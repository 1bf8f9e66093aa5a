// Mercurius with its loaders, over pg.
import Fastify from 'fastify'
import mercurius from 'mercurius'
import pg from 'pg'

import { address } from './events.js'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })

const schema = /* GraphQL */ `
  scalar UUID
  type Stream {
    name: String!
    startedAt: String!
    currentViewers: Int!
    channel: Channel!
    topic: Topic
  }
  type Channel {
    loc: UUID!
    name: String!
    owner: User!
  }
  type User {
    handle: String!
    displayName: String!
  }
  type Topic {
    slug: String!
    name: String!
  }
  type Streams {
    nodes: [Stream!]!
  }
  type Query {
    liveStreams(first: Int!): Streams!
  }
`

const resolvers = {
  Query: {
    liveStreams: async (_, { first }) => {
      const { rows } = await pool.query({
        name: 'streams',
        text: `SELECT name, started_at, current_viewers, channel_id, topic_id FROM streams
          WHERE state <> 'ended' ORDER BY current_viewers DESC, id DESC LIMIT $1`,
        values: [first],
      })
      return { nodes: rows }
    },
  },
  Stream: {
    startedAt: (stream) => stream.started_at.toISOString(),
    currentViewers: (stream) => stream.current_viewers,
  },
  User: { displayName: (user) => user.display_name },
}

/** A loader that finds rows by the id that `key` of their parent holds. */
const byId = (name, text, key) => async (asked) => {
  const ids = [...new Set(asked.map(({ obj }) => obj[key]))]
  const { rows } = await pool.query({ name, text, values: [ids] })
  const found = new Map(rows.map((row) => [row.id, row]))
  return asked.map(({ obj }) => found.get(obj[key]))
}

const loaders = {
  Stream: {
    channel: byId('channels', 'SELECT id, loc, name, owner_id FROM channels WHERE id = ANY($1::uuid[])', 'channel_id'),
    topic: byId('topics', 'SELECT id, slug, name FROM topics WHERE id = ANY($1::uuid[])', 'topic_id'),
  },
  Channel: {
    owner: byId('users', 'SELECT id, handle, display_name FROM users WHERE id = ANY($1::uuid[])', 'owner_id'),
  },
}

const app = Fastify()
app.register(mercurius, { schema, resolvers, loaders, jit: 1 })
await app.listen(address())
