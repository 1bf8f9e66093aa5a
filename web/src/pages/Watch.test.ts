import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import Embed from '../embed/Embed.vue'
import type { Playlists } from '../composables/usePlayback'
import type { Me } from '../session'
import { aStream, fakeServer, Refusal, somebody, visit, type Answers } from '../testing/site'
import Watch from './Watch.vue'

const last = { hasNextPage: false, endCursor: null }
const LOC = '0192d4e0-7d3c-7c1e-9c7a-000000000001'
/** Stands for the player: asks for what it is to play, once. */
const Player = {
  props: ['playlists', 'rewinds', 'poster', 'interrupted'],
  async mounted(this: { playlists: (renew: boolean) => Promise<Playlists | null> }) {
    await this.playlists(false)
  },
  template: '<div data-test="player" :data-interrupted="interrupted"></div>',
}

/** The same for what is over. */
const ReplayPlayer = {
  props: ['source'],
  async mounted(this: { source: (renew: boolean) => Promise<string | null> }) {
    await this.source(false)
  },
  template: '<div data-test="replay-player"></div>',
}

const channel = (stream: object | null, more: object = {}) => ({
  channel: {
    ...aStream(LOC).channel,
    description: 'Every Friday.',
    protected: false,
    opensWithPassword: false,
    clipsEnabled: true,
    currentViewers: 0,
    topic: { id: 'music', slug: 'music', name: 'Music' },
    owner: { id: 'user mia', handle: 'mia', displayName: 'Mia' },
    stream,
    ...more,
  },
})
const playback = {
  startPlayback: {
    playback: {
      url: `/live/~T/${LOC}/index.m3u8`,
      dvrUrl: `/live/~T/${LOC}/dvr.m3u8`,
      expiresAt: '2999-01-01T00:00:00Z',
    },
  },
}

const clip = {
  id: 'cl_1',
  title: 'What a goal',
  createdAt: '2026-01-01T20:00:00Z',
  durationSeconds: 31,
  bytes: 1,
  posterUrl: '/clips/poster.jpg',
  creator: { id: 'user tom', displayName: 'Tom' },
}
const clips = (...nodes: object[]) => ({
  channel: { id: 'channel', protected: false, clips: { nodes, pageInfo: last } },
})

async function watch(answers: Answers, me?: Me, page: typeof Watch | typeof Embed = Watch) {
  const none = { channel: { id: 'channel', recordings: { nodes: [], pageInfo: last } } }
  const server = fakeServer({
    StartPlayback: playback,
    Recordings: none,
    Clips: clips(),
    Replay: { node: null },
    ...answers,
  })
  const visited = await visit(page, server, {
    at: `/view/${LOC}/`,
    props: { loc: LOC },
    stubs: { Player, ReplayPlayer },
    ...(me ? { me } : {}),
  })
  await vi.advanceTimersByTimeAsync(200)
  await flushPromises()
  return { ...visited, ...server }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.useRealTimers()
  document.body.innerHTML = ''
})

it('goes through all that can happen to a stream by itself', async () => {
  const { page, event } = await watch({ WatchChannel: channel(null) })
  const phase = () => page.find('article').attributes('data-phase')
  expect(phase()).toBe('off')
  expect(page.text()).toContain('the next stream begins to play here by itself')
  expect(page.find('[data-test=player]').exists()).toBe(false)

  event({ __typename: 'StreamStarted', stream: aStream(LOC) })
  await flushPromises()
  expect(phase()).toBe('live')
  expect(page.find('[data-test=player]').exists()).toBe(true)

  event({ __typename: 'StreamInterrupted', stream: aStream(LOC, { state: 'INTERRUPTED' }) })
  await flushPromises()
  expect(phase()).toBe('interrupted')
  expect(page.find('.stage [role=status]').text()).toContain('connection broke')
  // The picture that there was stays, and goes on by itself.
  expect(page.find('[data-test=player]').exists()).toBe(true)

  event({ __typename: 'StreamResumed', stream: aStream(LOC) })
  await flushPromises()
  expect(phase()).toBe('live')

  const ended = aStream(LOC, { state: 'ENDED' })
  event({ __typename: 'StreamStopped', stream: ended, reason: 'ENDED_BY_MODERATOR' })
  await flushPromises()
  expect(phase()).toBe('off')
  expect(page.find('.stage [role=status]').text()).toContain('A moderator ended the stream.')
  expect(page.find('[data-test=viewers]').text()).toBe('0')

  event({ __typename: 'StreamStarted', stream: aStream(LOC, { id: 'another' }) })
  await flushPromises()
  expect(phase()).toBe('live')
})

it('says what it is, whose, about what, how many watch and for how long', async () => {
  const { page, count } = await watch({ WatchChannel: channel(aStream(LOC)) })
  expect(page.find('h1').text()).toBe(`Stream ${LOC}`)
  expect(document.title).toBe(`Stream ${LOC} · Tally`)
  expect(page.text()).toContain('by Mia')
  expect(page.find('.watch-by a').attributes('href')).toBe('/?topic=music')
  expect(page.text()).toContain('Every Friday.')
  expect(page.find('[data-test=on-air-for]').text()).toBe('On the air for 1:05')
  await vi.advanceTimersByTimeAsync(2_000)
  expect(page.find('[data-test=on-air-for]').text()).toBe('On the air for 1:07')
  count(LOC, 1234)
  await flushPromises()
  expect(page.find('[data-test=viewers]').text()).toBe('1,234')
})

it('asks whoever has not signed in to do so for a protected channel, and comes back', async () => {
  const { page } = await watch({
    WatchChannel: channel(aStream(LOC), { protected: true }),
    StartPlayback: new Refusal({ code: 'UNAUTHENTICATED' }),
  })
  const denied = page.find('[data-test=denied]')
  expect(denied.text()).toContain('This channel is protected.')
  expect(denied.find('a').attributes('href')).toBe(`/sign-in?next=/view/${LOC}/`)
})

it('asks for the password of a channel that opens with one, and plays once it is right', async () => {
  const refusal = (extensions: object) => new Refusal(extensions)
  const { page, answers, asked } = await watch({
    WatchChannel: channel(aStream(LOC), { protected: true, opensWithPassword: true }),
    StartPlayback: refusal({ code: 'UNAUTHENTICATED' }),
  })
  const unlock = async (password: string) => {
    await page.find('[data-test=unlock] input').setValue(password)
    await page.find('[data-test=unlock]').trigger('submit')
    await flushPromises()
  }
  answers['StartPlayback'] = refusal({ code: 'BAD_USER_INPUT', field: 'input.password' })
  await unlock('wrong')
  expect(page.find('.field-error').text()).toContain('not the password of this channel')
  answers['StartPlayback'] = refusal({ code: 'RATE_LIMITED', retryAfterSeconds: 30 })
  await unlock('wrong again')
  expect(page.find('[data-test=failure]').text()).toContain('Wait 30 seconds')
  answers['StartPlayback'] = playback
  await unlock('open sesame')
  expect(page.find('[data-test=player]').exists()).toBe(true)
  expect(asked('StartPlayback').map(({ password }) => password)).toEqual([
    null,
    'wrong',
    'wrong again',
    'open sesame',
  ])
  expect(JSON.stringify({ ...localStorage, ...sessionStorage })).not.toContain('sesame')
})

it('asks again for the next stream, which may be open to everybody', async () => {
  const { page, event, answers } = await watch({
    WatchChannel: channel(aStream(LOC), { protected: true }),
    StartPlayback: new Refusal({ code: 'UNAUTHENTICATED' }),
  })
  const ended = aStream(LOC, { state: 'ENDED' })
  event({ __typename: 'StreamStopped', stream: ended, reason: 'PUBLISHER_GONE' })
  answers['StartPlayback'] = playback
  event({ __typename: 'StreamStarted', stream: aStream(LOC, { id: 'another' }) })
  await flushPromises()
  expect(page.find('[data-test=denied]').exists()).toBe(false)
  expect(page.find('[data-test=player]').exists()).toBe(true)
})

it('tells whoever has signed in that a protected channel is not for them', async () => {
  const { page } = await watch(
    {
      WatchChannel: channel(aStream(LOC), { protected: true }),
      StartPlayback: new Refusal({ code: 'FORBIDDEN' }),
    },
    somebody('VIEWER', 'tom'),
  )
  expect(page.find('[data-test=denied]').text()).toContain('has not invited your account')
  expect(page.find('[data-test=denied] a').exists()).toBe(false)
  // Nor can they make a clip of what they cannot see.
  expect(page.find('[data-test=make-clip]').exists()).toBe(false)
})

it('leads its owner to the studio, and nobody else', async () => {
  const answers = { WatchChannel: channel(null) }
  const link = (page: Awaited<ReturnType<typeof watch>>['page']) =>
    page.find(`a[href="/studio/${LOC}/"]`).exists()
  expect(link((await watch(answers, somebody('STREAMER', 'mia'))).page)).toBe(true)
  expect(link((await watch(answers, somebody('STREAMER', 'tom'))).page)).toBe(false)
  expect(link((await watch(answers)).page)).toBe(false)
})

describe('recordings', () => {
  const recording = {
    id: 'rec_1',
    name: 'Last Friday',
    state: 'READY',
    failureReason: null,
    published: true,
    durationSeconds: 3723,
    bytes: 1,
    views: 1,
    startedAt: '2026-01-01T20:00:00Z',
    posterUrl: '/recordings/poster.jpg',
  }
  const some = { channel: { id: 'channel', recordings: { nodes: [recording], pageInfo: last } } }

  it('are listed below, those that can be played', async () => {
    const making = { ...recording, id: 'rec_2', state: 'RECORDING' }
    const two = { channel: { id: 'c', recordings: { nodes: [making, recording], pageInfo: last } } }
    const { page } = await watch({ WatchChannel: channel(null), Recordings: two })
    const cards = page.findAll('[data-test=recording]')
    expect(cards).toHaveLength(1)
    expect(cards[0]!.text()).toContain('1:02:03')
    expect(cards[0]!.find('a').attributes('href')).toBe(`/view/${LOC}/?recording=rec_1`)
  })

  it('take the place of what is on the air, by an address of their own', async () => {
    const { page, router, asked, answers } = await watch({
      WatchChannel: channel(aStream(LOC)),
      Recordings: some,
      StartReplay: { startPlayback: { playback: { url: '/r/index.m3u8', downloadUrl: null } } },
    })
    answers['Replay'] = { node: { __typename: 'Recording', ...recording } }
    await router.push(`/view/${LOC}/?recording=rec_1`)
    await flushPromises()
    expect(page.find('h1').text()).toBe('Last Friday')
    expect(document.title).toBe('Last Friday · Tally')
    expect(page.find('[data-test=state]').exists()).toBe(false)
    expect(page.find('[data-test=replay-player]').exists()).toBe(true)
    expect(page.find('[data-test=player]').exists()).toBe(false)
    expect(asked('StartReplay')).toEqual([{ loc: LOC, recordingId: 'rec_1', password: null }])
    await router.push(`/view/${LOC}/`)
    await flushPromises()
    expect(page.find('[data-test=player]').exists()).toBe(true)
  })

  it('say so when they are gone', async () => {
    const { page, router } = await watch({
      WatchChannel: channel(null),
      StartReplay: new Refusal({ code: 'NOT_FOUND' }),
    })
    await router.push(`/view/${LOC}/?recording=gone`)
    await flushPromises()
    expect(page.find('[data-test=refused]').text()).toContain('This recording cannot be played')
  })
})

describe('clips', () => {
  const tom = somebody('VIEWER', 'tom')
  const offered = (page: Awaited<ReturnType<typeof watch>>['page']) =>
    page.find('[data-test=make-clip]').exists()

  it('can be made by whoever is signed in, where the owner lets them, and by the owner', async () => {
    const on = { WatchChannel: channel(aStream(LOC)) }
    const off = { WatchChannel: channel(aStream(LOC), { clipsEnabled: false }) }
    expect(offered((await watch(on)).page)).toBe(false)
    expect(offered((await watch(on, tom)).page)).toBe(true)
    expect(offered((await watch(off, tom)).page)).toBe(false)
    expect(offered((await watch(off, somebody('STREAMER', 'mia'))).page)).toBe(true)
    expect(offered((await watch({ WatchChannel: channel(null) }, tom)).page)).toBe(false)
  })

  it('are cut out of what is on the air, and stand in the list below', async () => {
    const { page, answers, asked } = await watch({ WatchChannel: channel(aStream(LOC)) }, tom)
    await page.find('[data-test=make-clip]').trigger('click')
    await flushPromises()
    await page.find('[data-test=clip-maker] input').setValue('What a goal')
    await page.find('[data-test=clip-maker] select').setValue('60')
    const send = async () => {
      await page.find('[data-test=clip-maker] form').trigger('submit')
      await flushPromises()
    }
    answers['CreateClip'] = new Refusal({ code: 'RATE_LIMITED', retryAfterSeconds: 90 })
    await send()
    expect(page.find('[data-test=failure]').text()).toContain('Wait 90 seconds')
    answers['CreateClip'] = { createClip: { clip } }
    answers['Clips'] = clips(clip)
    await send()
    expect(asked('CreateClip')[1]).toEqual({
      input: { streamId: `stream ${LOC}`, lastSeconds: 60, title: 'What a goal' },
    })
    const to = `/view/${LOC}/?clip=cl_1`
    expect(page.find('[data-test=clip-made] a').attributes('href')).toBe(to)
    const listed = page.find('[data-test=clip]')
    expect(listed.find('a').attributes('href')).toBe(to)
    expect(listed.text()).toContain('0:31')
    expect(listed.text()).toContain('by Tom')
  })

  it('of others are there for whoever comes back after a while', async () => {
    const { page, answers } = await watch({ WatchChannel: channel(null) })
    expect(page.find('[data-test=clip]').exists()).toBe(false)
    answers['Clips'] = clips(clip)
    const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
    document.dispatchEvent(new Event('visibilitychange'))
    await vi.advanceTimersByTimeAsync(60_000)
    hidden.mockRestore()
    document.dispatchEvent(new Event('visibilitychange'))
    await flushPromises()
    expect(page.find('[data-test=clip]').text()).toContain('What a goal')
  })

  it('play in the place of what is on the air, and whoever made one may delete it', async () => {
    const { page, router, asked } = await watch(
      {
        WatchChannel: channel(aStream(LOC)),
        Clips: clips(clip),
        Replay: { node: { __typename: 'Clip', ...clip } },
        StartReplay: { startPlayback: { playback: { url: '/c/video.mp4', downloadUrl: null } } },
        DeleteClip: { deleteClip: { deletedClipId: 'cl_1' } },
      },
      tom,
    )
    await router.push(`/view/${LOC}/?clip=cl_1`)
    await flushPromises()
    expect(page.find('h1').text()).toBe('What a goal')
    expect(page.find('[data-test=replay-player]').exists()).toBe(true)
    expect(asked('StartReplay')).toEqual([{ loc: LOC, clipId: 'cl_1', password: null }])
    await page.find('[data-test=delete-clip]').trigger('click')
    await page.find('form[data-test=delete-clip]').trigger('submit')
    await flushPromises()
    expect(asked('DeleteClip')).toEqual([{ input: { id: 'cl_1' } }])
    expect(router.currentRoute.value.fullPath).toBe(`/view/${LOC}/`)
    expect(page.find('[data-test=player]').exists()).toBe(true)
  })
})

it('offers what to put into another page', async () => {
  const { page } = await watch({ WatchChannel: channel(null) })
  const snippet = page.find('details textarea').element as HTMLTextAreaElement
  expect(snippet.value).toContain(`/embed/${LOC}/`)
})

it('says so when there is no such channel', async () => {
  for (const answer of [{ channel: null }, new Refusal({ code: 'BAD_USER_INPUT' })]) {
    const { page } = await watch({ WatchChannel: answer })
    expect(page.find('[data-test=not-found]').text()).toContain('No such channel')
  }
})

it('is alone in a frame, and every way out of it is another window', async () => {
  const answers = { WatchChannel: channel(aStream(LOC)) }
  const { page } = await watch(answers, undefined, Embed)
  expect(page.find('[data-test=player]').exists()).toBe(true)
  const links = page.findAll('a')
  expect(links.map((link) => link.attributes('href'))).toEqual([`/view/${LOC}/`])
  expect(links.map((link) => link.attributes('target'))).toEqual(['_blank'])
  expect(page.findAll('form, input, select')).toEqual([])
})
