import { Client, CombinedError, type Operation, type OperationResult } from '@urql/core'
import { provideClient } from '@urql/vue'
import { mount, flushPromises } from '@vue/test-utils'
import { GraphQLError, Kind } from 'graphql'
import { defineComponent, h, provide, type Component } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { filter, makeSubject, map, merge, pipe, type Subject } from 'wonka'
import type { Role } from '../graphql/graphql'
import { createTexts, type Language } from '../i18n'
import { zh } from '../locales/zh'
import { createSession, sessionKey, type Me } from '../session'

type Variables = Record<string, any>
export type Answer = object | Refusal
export type Answers = Record<string, Answer | ((variables: Variables) => Answer)>

/** An error that a fake server answers with. */
export class Refusal {
  constructor(readonly extensions: object) {}
}

const nobody = { me: null }
const idle: Answers = {
  Me: nobody,
  Topics: { topics: [] },
  EventCursor: { liveStreams: { eventCursor: '1' } },
  RecentRecordings: {
    recordings: { nodes: [], pageInfo: { hasNextPage: false, endCursor: null } },
  },
  Channels: { channels: { nodes: [], pageInfo: { hasNextPage: false, endCursor: null } } },
}

/** A server whose answers the test gives by the name of the operation, and whose events it sends. */
export function fakeServer(given: Answers = {}) {
  const answers: Answers = { ...idle, ...given }
  const asked: { name: string; variables: Variables }[] = []
  const active = new Map<number, Operation>()
  type Push = (variables: Variables, name: string) => object | null
  const pushes: Subject<Push> = makeSubject()

  function answer(operation: Operation): OperationResult {
    const name = nameOf(operation)
    const variables = (operation.variables ?? {}) as Variables
    asked.push({ name, variables })
    const found = answers[name]
    if (!found) throw new Error(`the test has no answer to ${name}`)
    const told = typeof found === 'function' ? found(variables) : found
    return told instanceof Refusal ? refused(operation, told) : result(operation, told)
  }

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
              return operation.kind === 'query' || operation.kind === 'mutation'
            }),
            map(answer),
          ),
          pipe(
            pushes.source,
            map((push) => {
              for (const operation of active.values()) {
                const data = push((operation.variables ?? {}) as Variables, nameOf(operation))
                if (data) return result(operation, data)
              }
              throw new Error('nobody subscribed to that')
            }),
          ),
        ]),
    ],
  })

  return {
    client,
    answers,
    active,
    /** The variables of each time that operation was asked. */
    asked: (name: string) => asked.filter((it) => it.name === name).map((it) => it.variables),
    push: pushes.next,
    /** Tells the first who follows that subscription. */
    tell: (name: string, data: object) =>
      pushes.next((_variables, followed) => (followed === name ? data : null)),
    /** Tells the first who follows events. */
    event: (event: object) =>
      pushes.next((variables) =>
        'after' in variables ? { streamEvents: { cursor: '2', at: '', ...event } } : null,
      ),
    /** Tells the first who follows counts. */
    count: (loc: string, currentViewers: number, totalViewers = currentViewers) =>
      pushes.next((variables) =>
        'locs' in variables ? { viewerCountChanged: { loc, currentViewers, totalViewers } } : null,
      ),
  }
}

export type FakeServer = ReturnType<typeof fakeServer>

function nameOf(operation: Operation): string {
  const definition = operation.query.definitions.find((it) => it.kind === Kind.OPERATION_DEFINITION)
  return (definition && 'name' in definition && definition.name?.value) || ''
}

function result(operation: Operation, data: object): OperationResult {
  return {
    operation,
    data,
    error: undefined,
    stale: false,
    hasNext: operation.kind === 'subscription',
  }
}

function refused(operation: Operation, { extensions }: Refusal): OperationResult {
  const graphQLErrors = [new GraphQLError('refused', { extensions: { ...extensions } })]
  return { ...result(operation, {}), data: undefined, error: new CombinedError({ graphQLErrors }) }
}

export function somebody(role: Role, handle = 'mia'): Me {
  return {
    id: `user ${handle}`,
    handle,
    displayName: 'Mia',
    role,
    createdAt: '2026-01-01T00:00:00Z',
  }
}

/** What a list of live streams, or an event, says of the stream on that channel. */
export function aStream(loc: string, more: object = {}) {
  return {
    id: `stream ${loc}`,
    name: `Stream ${loc}`,
    state: 'LIVE',
    currentViewers: 3,
    startedAt: new Date(Date.now() - 65_000).toISOString(),
    pageUrl: `/view/${loc}/`,
    playbackUrl: `/live/${loc}/index.m3u8`,
    dvrUrl: `/live/${loc}/dvr.m3u8`,
    thumbnailUrl: `/stream-thumb/${loc}.png`,
    previewUrl: `/stream-thumb/${loc}.gif`,
    topic: null,
    channel: { id: `channel ${loc}`, loc, name: `Channel ${loc}` },
    ...more,
  }
}

/** Shows a page of the site at that address, to whoever it is, and waits until it has read what it shows. */
export async function visit(
  page: Component,
  server: FakeServer,
  options: { at?: string; me?: Me; props?: object; language?: Language; stubs?: object } = {},
) {
  const at = options.at ?? '/'
  const Nothing = { render: () => null }
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [
      { path: '/view/:loc/', name: 'watch', component: Nothing },
      { path: '/studio/:loc/', name: 'channel', component: Nothing },
      { path: '/sign-in', name: 'sign-in', component: Nothing },
      { path: '/sign-up', name: 'sign-up', component: Nothing },
      { path: '/:rest(.*)*', component: Nothing },
    ],
  })
  await router.push(at)
  let reconnects = 0
  server.answers['Me'] ??= nobody
  if (options.me) server.answers['Me'] = { me: options.me }
  const session = createSession(server.client, () => reconnects++)
  await session.refresh()
  const texts = options.language === 'zh' ? createTexts('zh', zh) : createTexts()
  const shown = mount(
    defineComponent(() => {
      provideClient(server.client)
      provide(sessionKey, session)
      return () => h(page, options.props)
    }),
    {
      attachTo: document.body,
      global: { plugins: [router, texts], stubs: { TransitionGroup: false, ...options.stubs } },
    },
  )
  await flushPromises()
  return { page: shown, router, session, reconnects: () => reconnects }
}
