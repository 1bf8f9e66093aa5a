// PostGraphile over Tally's own tables.
import './with-resolvers.js'
import { createServer } from 'node:http'
import { grafserv } from 'postgraphile/grafserv/node'
import { makePgService } from 'postgraphile/adaptors/pg'
import { postgraphile } from 'postgraphile'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'

import { address } from './events.js'

const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString: process.env.DATABASE_URL, schemas: ['public'] })],
  grafserv: { graphqlPath: '/graphql', watch: false },
  // Tally's indexes hold only what is on the air, which PostGraphile does not take for an index of the column.
  disablePlugins: ['PgIndexBehaviorsPlugin'],
  grafast: { explain: false },
}
const serv = postgraphile(preset).createServ(grafserv)
const server = createServer()
server.on('error', (error) => console.error(error))
await serv.addTo(server)
server.listen(address())
