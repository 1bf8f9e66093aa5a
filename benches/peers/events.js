// What every peer has in common: the schema, and the door where events are asked for.

export const typeDefs = /* GraphQL */ `
  scalar UUID
  type Event {
    loc: UUID!
    number: Int!
    at: String!
  }
  type Query {
    ok: Boolean!
  }
  type Subscription {
    benchEvents(loc: UUID!): Event!
  }
`

export const topic = (loc) => `benchEvents:${loc}`

let last = 0

/** Publishes what `POST /bench/events?loc=LOC&count=N` asks for. */
export function emit(url, publish) {
  const asked = new URL(url, 'http://bench').searchParams
  const loc = asked.get('loc')
  for (let count = Number(asked.get('count')); count > 0; count--) {
    publish(topic(loc), { benchEvents: { loc, number: ++last, at: new Date().toISOString() } })
  }
}

/** Where to listen: the address on the command line. */
export function address() {
  const [host, port] = process.argv[2].split(':')
  return { host, port: Number(port) }
}
