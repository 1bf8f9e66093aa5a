import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { aStream, fakeServer, visit, type Answers } from '../testing/site'
import Home from './Home.vue'

const music = { id: 'music', slug: 'music', name: 'Music', retired: false }
const last = { hasNextPage: false, endCursor: null }
const list = (...nodes: object[]) => ({ liveStreams: { nodes, pageInfo: last, eventCursor: '1' } })
const channel = (loc: string, stream: object | null = null) => ({
  ...aStream(loc).channel,
  views: 0,
  topic: null,
  owner: { id: 'user', displayName: 'Mia' },
  stream,
})

async function show(answers: Answers, at = '/') {
  const server = fakeServer({ LiveStreams: list(), ...answers })
  const visited = await visit(Home, server, { at })
  await vi.advanceTimersByTimeAsync(200)
  return { ...visited, ...server }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.useRealTimers()
  document.body.innerHTML = ''
})

it('says so when nobody is live, and shows who comes', async () => {
  const { page, event } = await show({})
  expect(page.text()).toContain('Nobody is live. Start OBS…')
  event({ __typename: 'StreamStarted', stream: aStream('a') })
  await flushPromises()
  expect(page.find('[data-test=empty]').exists()).toBe(false)
  expect(page.find('[data-test=stream-card]').text()).toContain('Channel a')
})

it('moves the count of a card', async () => {
  const { page, count } = await show({ LiveStreams: list(aStream('a'), aStream('b')) })
  count('b', 42)
  await flushPromises()
  expect(page.findAll('[data-test=viewers]').map((one) => one.text())).toEqual(['3', '42'])
})

it('tells a screen reader how many are live, once they settle', async () => {
  const { page, event } = await show({})
  const told = () => page.find('[role=status].sr-only').text()
  expect(told()).toBe('')
  event({ __typename: 'StreamStarted', stream: aStream('a') })
  await flushPromises()
  expect(told()).toBe('')
  await vi.advanceTimersByTimeAsync(2_000)
  expect(told()).toBe('One stream is live.')
})

it('keeps to a topic, and says what to do when nobody is live with it', async () => {
  const { page, asked } = await show({ Topics: { topics: [music] } }, '/?topic=music')
  expect(asked('LiveStreams')[0]).toMatchObject({ topic: 'music' })
  expect(page.find('[data-test=empty]').text()).toContain('Nobody is live with the topic Music.')
  expect(page.find('[aria-current=true]').text()).toBe('Music')
  expect(page.findAll('[aria-current]')).toHaveLength(1)
})

it('searches while one types, once for what is typed together', async () => {
  const { page, asked, router } = await show({
    Channels: ({ filter }) => ({
      channels: { nodes: filter.search ? [channel('found')] : [], pageInfo: last },
    }),
  })
  expect(page.find('[data-test=channels]').text()).toContain('There is no channel yet.')
  const input = page.find('[data-test=search]')
  await input.setValue('ch')
  await vi.advanceTimersByTimeAsync(100)
  await input.setValue('chess')
  await vi.advanceTimersByTimeAsync(400)
  await flushPromises()
  expect(router.currentRoute.value.query).toEqual({ q: 'chess' })
  expect(asked('Channels').map(({ filter }) => filter.search)).toEqual([null, 'chess'])
  expect(page.find('[data-test=channel-row]').text()).toContain('Channel found')
  expect(page.find('#on-air').exists()).toBe(false)
})

it('shows a channel of the results going on the air and off it', async () => {
  const { page, event } = await show(
    { Channels: { channels: { nodes: [channel('a')], pageInfo: last } } },
    '/?q=a',
  )
  const row = () => page.find('[data-test=channel-row]')
  expect(row().find('[data-test=state]').exists()).toBe(false)
  event({ __typename: 'StreamStarted', stream: aStream('a') })
  await flushPromises()
  expect(row().find('[data-test=state]').text()).toBe('Live')
  const stopped = { ...aStream('a'), state: 'ENDED' }
  event({ __typename: 'StreamStopped', stream: stopped, reason: 'PUBLISHER_GONE' })
  await flushPromises()
  expect(row().find('[data-test=state]').exists()).toBe(false)
})

it('shows channels that were made while nobody looked, and takes none away that was asked for', async () => {
  const { page, answers } = await show({
    Channels: ({ after }) => ({
      channels: {
        nodes: [channel(after ? 'old' : 'a')],
        pageInfo: { hasNextPage: !after, endCursor: 'end' },
      },
    }),
  })
  const shown = () => page.findAll('[data-test=channel-row]').map((row) => row.text())
  const lookAway = async () => {
    const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
    document.dispatchEvent(new Event('visibilitychange'))
    await vi.advanceTimersByTimeAsync(30_000)
    hidden.mockReturnValue(false)
    document.dispatchEvent(new Event('visibilitychange'))
    await flushPromises()
    hidden.mockRestore()
  }
  const nodes = [channel('new'), channel('a')]
  answers['Channels'] = { channels: { nodes, pageInfo: { hasNextPage: true, endCursor: 'end' } } }
  await lookAway()
  expect(shown()).toEqual([
    expect.stringContaining('Channel new'),
    expect.stringContaining('Channel a'),
  ])
  answers['Channels'] = { channels: { nodes: [channel('old')], pageInfo: last } }
  await page.find('[data-test=channels] .more button').trigger('click')
  await flushPromises()
  expect(shown()).toHaveLength(3)
  await lookAway()
  expect(shown()).toHaveLength(3)
})

it('shows the cover of a channel, and its initial where there is none that may be shown', async () => {
  const nodes = [
    { ...channel('a'), imageUrl: '/covers/a/1.jpg' },
    { ...channel('b'), imageUrl: 'https://elsewhere.example/b.jpg' },
    channel('c'),
  ]
  const { page } = await show({ Channels: { channels: { nodes, pageInfo: last } } })
  const rows = page.findAll('[data-test=channel-row]')
  expect(rows.map((row) => row.find('img').exists())).toEqual([true, false, false])
  expect(rows[0]!.find('img').attributes('src')).toBe('/covers/a/1.jpg')
  expect(rows[1]!.find('.initial').text()).toBe('C')
  await rows[0]!.find('img').trigger('error')
  expect(rows[0]!.find('.initial').exists()).toBe(true)
})

it('lets go of its subscriptions when it is left', async () => {
  const { page, active } = await show({ LiveStreams: list(aStream('a')) })
  // The events for the streams and for the channels, and the counts.
  expect(active.size).toBe(3)
  page.unmount()
  expect(active.size).toBe(0)
})

const recording = (id: string) => ({
  id,
  name: `Recording ${id}`,
  durationSeconds: 3723,
  views: 2,
  startedAt: '2026-01-01T20:00:00Z',
  posterUrl: null,
  channel: aStream('a').channel,
})

it('shows what was recorded of a stream some time after that has ended', async () => {
  const none = { recordings: { nodes: [], pageInfo: last } }
  const { page, event, answers } = await show({
    LiveStreams: list(aStream('a')),
    RecentRecordings: none,
  })
  expect(page.find('[data-test=recent]').exists()).toBe(false)
  answers['RecentRecordings'] = { recordings: { nodes: [recording('new')], pageInfo: last } }
  const stopped = { ...aStream('a'), state: 'ENDED' }
  event({ __typename: 'StreamStopped', stream: stopped, reason: 'PUBLISHER_GONE' })
  await vi.advanceTimersByTimeAsync(15_000)
  await flushPromises()
  expect(page.find('[data-test=recent-recording]').text()).toContain('Recording new')
})

it('shows below the channels what everybody can watch again, and more of it when asked', async () => {
  const { page, asked, router } = await show({
    RecentRecordings: ({ after }) => ({
      recordings: {
        nodes: [recording(after ? 'old' : 'new')],
        pageInfo: { hasNextPage: !after, endCursor: 'end' },
      },
    }),
  })
  const shown = () => page.findAll('[data-test=recent-recording]')
  expect(shown()[0]!.find('a').attributes('href')).toBe('/view/a/?recording=new')
  expect(shown()[0]!.text()).toContain('1:02:03')
  expect(shown()[0]!.text()).toContain('Channel a')
  await page.find('[data-test=recent] .more button').trigger('click')
  await flushPromises()
  expect(shown().map((one) => one.find('a').text())).toEqual(['Recording new', 'Recording old'])
  expect(asked('RecentRecordings').map(({ after }) => after)).toEqual([null, 'end'])
  await router.push('/?q=chess')
  await flushPromises()
  expect(shown()).toEqual([])
})
