import { Client, type Operation, type OperationResult } from '@urql/core'
import { provideClient } from '@urql/vue'
import { flushPromises, mount, RouterLinkStub } from '@vue/test-utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { defineComponent, h } from 'vue'
import { filter, makeSubject, map, merge, pipe, type Subject } from 'wonka'
import Home from './Home.vue'

const stream = (loc: string) => ({
  id: `stream ${loc}`,
  name: `Stream ${loc}`,
  state: 'LIVE',
  currentViewers: 3,
  thumbnailUrl: `/stream-thumb/${loc}.png`,
  previewUrl: `/stream-thumb/${loc}.gif`,
  channel: { id: `channel ${loc}`, loc, name: `Channel ${loc}` },
})

/** A client whose list is given, and whose subscriptions the test feeds. */
function fakeClient(nodes: object[]) {
  const pushes: Subject<(variables: object) => object | null> = makeSubject()
  const active = new Map<number, Operation>()
  const list = { nodes, pageInfo: { hasNextPage: false, endCursor: null }, eventCursor: '1' }
  const client = new Client({
    url: 'http://test/graphql',
    requestPolicy: 'network-only',
    exchanges: [
      () => (operations) =>
        merge([
          pipe(
            operations,
            filter((operation) => {
              if (operation.kind === 'subscription') active.set(operation.key, operation)
              if (operation.kind === 'teardown') active.delete(operation.key)
              return operation.kind === 'query'
            }),
            map((operation) => result(operation, { liveStreams: list })),
          ),
          pipe(
            pushes.source,
            map((push) => {
              for (const operation of active.values()) {
                const data = push(operation.variables ?? {})
                if (data) return result(operation, data)
              }
              throw new Error('nobody subscribed to that')
            }),
          ),
        ]),
    ],
  })
  return { client, active, push: pushes.next }
}

function result(operation: Operation, data: object): OperationResult {
  return { operation, data, error: undefined, stale: false, hasNext: operation.kind !== 'query' }
}

async function show(nodes: object[]) {
  const fake = fakeClient(nodes)
  const page = mount(
    defineComponent(() => {
      provideClient(fake.client)
      return () => h(Home)
    }),
    { global: { stubs: { RouterLink: RouterLinkStub, TransitionGroup: false } } },
  )
  await flushPromises()
  await vi.advanceTimersByTimeAsync(200)
  return { page, ...fake }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('says so when nobody is live, and shows who comes', async () => {
  const { page, push } = await show([])
  expect(page.text()).toContain('Nobody is live. Start OBS…')
  push((variables) =>
    'after' in variables
      ? { streamEvents: { __typename: 'StreamStarted', cursor: '2', at: '', stream: stream('a') } }
      : null,
  )
  await flushPromises()
  expect(page.find('[data-test=empty]').exists()).toBe(false)
  expect(page.find('[data-test=stream-card]').text()).toContain('Channel a')
})

it('moves the count of a card', async () => {
  const { page, push } = await show([stream('a'), stream('b')])
  push((variables) =>
    'locs' in variables ? { viewerCountChanged: { loc: 'b', currentViewers: 42 } } : null,
  )
  await flushPromises()
  expect(page.findAll('[data-test=viewers]').map((count) => count.text())).toEqual(['3', '42'])
})

it('lets go of its subscriptions when it is left', async () => {
  const { page, active } = await show([stream('a')])
  expect(active.size).toBe(2)
  page.unmount()
  expect(active.size).toBe(0)
})
