import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { aStream, fakeServer, Refusal, somebody, visit, type Answers } from '../testing/site'
import { uploadCover } from '../lib/upload'
import NewChannel from './NewChannel.vue'
import Studio from './Studio.vue'
import StudioChannel from './StudioChannel.vue'

vi.mock('../lib/upload', async (original) => ({
  ...(await original<typeof import('../lib/upload')>()),
  uploadCover: vi.fn(),
}))

const LOC = '0192d4e0-7d3c-7c1e-9c7a-000000000001'
const KEY = 'live_secret'
const last = { hasNextPage: false, endCursor: null }
const channel = {
  ...aStream(LOC).channel,
  description: '',
  imageUrl: null as string | null,
  record: false,
  chatEnabled: true,
  clipsEnabled: true,
  protected: false,
  defaultStreamName: 'Mine',
  views: 0,
  topic: null,
  owner: { id: 'user mia', handle: 'mia', displayName: 'Mia' },
}
const owned = { channel: { ...channel, ingest: { serverUrl: 'rtmp://tally.example/live' } } }
const row = { ...channel, stream: null }
const past = {
  id: 'past',
  name: 'Last Friday',
  startedAt: '2026-01-01T20:00:00Z',
  endedAt: '2026-01-01T21:02:03Z',
  peakViewers: 12,
  totalViewers: 34,
  stopReason: 'ENDED_BY_OWNER',
}

const desk: Answers = {
  StudioChannel: owned,
  WatchChannel: { channel: { ...channel, currentViewers: 0, stream: null } },
  PastStreams: { channel: { id: channel.id, pastStreams: { nodes: [], pageInfo: last } } },
  Clips: { channel: { id: channel.id, protected: false, clips: { nodes: [], pageInfo: last } } },
  Recordings: { channel: { id: channel.id, recordings: { nodes: [], pageInfo: last } } },
  SimulcastTargets: { channel: { id: channel.id, simulcastTargets: [] } },
  Invited: {
    channel: {
      id: channel.id,
      opensWithPassword: false,
      invitedViewers: { nodes: [], pageInfo: last },
    },
  },
  HealthHistory: { streamHealth: { points: [] } },
  StreamAudience: { node: { __typename: 'Stream', id: 's', audience: [] } },
  StreamHealth: { channel: { id: channel.id, stream: null } },
  StreamKey: { channel: { id: channel.id, ingest: { streamKey: KEY } } },
}

async function open(answers: Answers = {}) {
  const server = fakeServer({ ...desk, ...answers })
  const visited = await visit(StudioChannel, server, {
    at: `/studio/${LOC}/`,
    me: somebody('STREAMER'),
    props: { loc: LOC },
    stubs: { Player: { template: '<div data-test="player"></div>' } },
  })
  await vi.advanceTimersByTimeAsync(200)
  await flushPromises()
  return { ...visited, ...server }
}

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue()
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  document.body.innerHTML = ''
})

describe('the studio', () => {
  const list = {
    MyChannels: { me: { id: 'user mia', channels: { nodes: [row], pageInfo: last } } },
  }

  it('tells a viewer how to become a streamer', async () => {
    const { page } = await visit(Studio, fakeServer(list), { me: somebody('VIEWER') })
    expect(page.find('[data-test=gate]').text()).toContain('Ask an admin of this site')
  })

  it('lists channels, and shows one go on the air', async () => {
    const server = fakeServer(list)
    const { page } = await visit(Studio, server, { me: somebody('STREAMER') })
    const shown = page.find('[data-test=channel-row]')
    expect(shown.find('a').attributes('href')).toBe(`/studio/${LOC}/`)
    expect(shown.find('[data-test=state]').exists()).toBe(false)
    server.event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    expect(shown.find('[data-test=state]').text()).toBe('Live')
  })

  it('makes a channel once, also when the answer to the first try is lost', async () => {
    const lost = new Refusal({ code: 'UNAVAILABLE' })
    const server = fakeServer({ CreateChannel: lost })
    const { page, router } = await visit(NewChannel, server, { me: somebody('STREAMER') })
    await page.find('input').setValue('Mine')
    const send = async () => {
      await page.find('form').trigger('submit')
      await flushPromises()
    }
    await send()
    expect(page.find('[data-test=failure]').text()).toContain('Try again in a moment.')
    server.answers['CreateChannel'] = { createChannel: { channel: { id: 'c', loc: LOC } } }
    await send()
    const [first, second] = server.asked('CreateChannel')
    expect(first!['input']).toMatchObject({ name: 'Mine', defaultStreamName: 'Mine' })
    expect(second!['input'].idempotencyKey).toBe(first!['input'].idempotencyKey)
    expect(router.currentRoute.value.path).toBe(`/studio/${LOC}/`)
  })
})

describe('the stream key', () => {
  const box = (page: Awaited<ReturnType<typeof open>>['page']) =>
    page.findAll('[data-test=copy-value]')[1]!.element as HTMLInputElement

  it('is not even asked for until somebody wants it', async () => {
    const { page, asked } = await open()
    expect(asked('StreamKey')).toEqual([])
    expect(page.html()).not.toContain(KEY)
    expect(box(page).value).toMatch(/^•+$/)
  })

  it('is shown when asked for, and hidden again', async () => {
    const { page } = await open()
    await page.find('[data-test=reveal]').trigger('click')
    await flushPromises()
    expect(box(page).value).toBe(KEY)
    await page.find('[data-test=reveal]').trigger('click')
    expect(box(page).value).toMatch(/^•+$/)
  })

  it('is copied without being shown', async () => {
    const { page } = await open()
    await page.findAll('[data-test=copy]')[1]!.trigger('click')
    await flushPromises()
    expect(navigator.clipboard.writeText).toHaveBeenCalledWith(KEY)
    expect(box(page).value).toMatch(/^•+$/)
  })

  it('is replaced after a warning, once for one intention, and hidden again', async () => {
    const { page, answers, asked } = await open({
      RegenerateStreamKey: new Refusal({ code: 'UNAVAILABLE' }),
    })
    await page.find('[data-test=reveal]').trigger('click')
    await page.find('[data-test=regenerate]').trigger('click')
    expect(page.find('form[data-test=regenerate]').text()).toContain('the stream ends')
    const yes = async () => {
      await page.find('form[data-test=regenerate]').trigger('submit')
      await flushPromises()
    }
    await yes()
    answers['RegenerateStreamKey'] = { regenerateStreamKey: { channel: { id: channel.id } } }
    answers['StreamKey'] = { channel: { id: channel.id, ingest: { streamKey: 'live_new' } } }
    await yes()
    const keys = asked('RegenerateStreamKey').map(({ input }) => input.idempotencyKey)
    expect(keys[0]).toBe(keys[1])
    expect(box(page).value).toMatch(/^•+$/)
    await page.find('[data-test=reveal]').trigger('click')
    await flushPromises()
    expect(box(page).value).toBe('live_new')
  })
})

describe('the desk of a channel', () => {
  it('turns green by itself when the stream arrives, and waits when it breaks', async () => {
    const { page, event } = await open()
    const card = page.find('[data-test=connect]')
    expect(card.attributes('data-state')).toBe('off')
    expect(card.find('[role=status]').text()).toBe('Waiting for the stream…')
    event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    expect(card.attributes('data-state')).toBe('live')
    expect(card.classes()).toContain('box-good')
    expect(card.find('[role=status]').text()).toBe('Connected: you are on the air.')
    event({ __typename: 'StreamInterrupted', stream: aStream(LOC, { state: 'INTERRUPTED' }) })
    await flushPromises()
    expect(card.classes()).not.toContain('box-good')
  })

  it('shows the figures of what is on the air as they move', async () => {
    const { page, event, count } = await open()
    event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    count(LOC, 7, 9)
    await flushPromises()
    count(LOC, 5, 9)
    await flushPromises()
    const figures = page.findAll('.figures dd').map((figure) => figure.text())
    expect(figures.slice(0, 3)).toEqual(['5', '7', '9'])
  })

  it('says how well it arrives, and what to do when it does not', async () => {
    const { page, event, tell } = await open({
      HealthHistory: {
        streamHealth: {
          points: [{ at: '2026-01-01T00:00:00Z', videoKbps: 400, audioKbps: 64 }],
        },
      },
    })
    event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    const now = {
      at: '2026-01-01T00:00:02Z',
      videoKbps: 512.3,
      audioKbps: 64,
      frameRate: 29.97,
      keyframeSeconds: 8.3,
      missingFrames: 0,
    }
    const arrival = page.find('[data-test=arrival]')
    const health = (warnings: object[]) =>
      tell('HealthNow', { streamHealth: { at: now.at, now, warnings } })
    health([])
    await flushPromises()
    expect(arrival.text()).toContain('All is well.')
    expect(arrival.text()).toContain('30 pictures a second, 512 kbit/s')
    expect(arrival.find('figcaption').text()).toContain('576 kbit/s now, 576 at most')
    health([
      { kind: 'RARE_KEYFRAMES', message: 'in the words of the server' },
      { kind: 'SILENT', message: 'in the words of the server' },
      { kind: 'NEW_KIND', message: 'Something that this page does not know.' },
    ])
    await flushPromises()
    const warnings = page.findAll('[data-test=warning]').map((warning) => warning.text())
    expect(warnings[0]).toContain('In OBS, Output, set the keyframe interval')
    expect(warnings[1]).toMatch(/^Nothing has arrived since [^{}]*:02\b/)
    expect(warnings[2]).toBe('Something that this page does not know.')
  })

  it('plays the preview only when asked to: it counts as a viewer', async () => {
    const { page, event } = await open()
    event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    expect(page.find('[data-test=player]').exists()).toBe(false)
    await page.find('[data-test=preview]').trigger('click')
    expect(page.find('[data-test=player]').exists()).toBe(true)
  })

  it('names a stream that is on the air', async () => {
    const { page, event, asked } = await open({
      UpdateStream: { updateStream: { stream: { id: 's', name: 'New', topic: null } } },
    })
    event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    const form = page.find('[data-test=stream-form]')
    await form.find('input').setValue(' New name ')
    await form.trigger('submit')
    await flushPromises()
    expect(asked('UpdateStream')).toEqual([{ input: { id: `stream ${LOC}`, name: 'New name' } }])
    expect(form.text()).toContain('Saved.')
  })

  it('ends a stream after a warning', async () => {
    const { page, event, asked } = await open({ EndStream: { endStream: { stream: { id: 's' } } } })
    event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    await page.find('[data-test=end]').trigger('click')
    expect(asked('EndStream')).toEqual([])
    await page.find('form[data-test=end]').trigger('submit')
    await flushPromises()
    expect(asked('EndStream')).toEqual([{ input: { channelId: channel.id } }])
  })

  it('deletes only when the name is typed', async () => {
    const { page, asked, router } = await open({
      DeleteChannel: { deleteChannel: { deletedChannelId: channel.id } },
    })
    const danger = page.find('[data-test=danger]')
    await danger.find('[data-test=ask]').trigger('click')
    const yes = danger.find('[data-test=yes]').element as HTMLButtonElement
    expect(yes.disabled).toBe(true)
    await danger.find('input').setValue(channel.name)
    expect(yes.disabled).toBe(false)
    await danger.find('form').trigger('submit')
    await flushPromises()
    expect(asked('DeleteChannel')).toEqual([{ input: { id: channel.id } }])
    expect(router.currentRoute.value.path).toBe('/studio')
  })

  it('sends what was changed, and says at the field what is wrong', async () => {
    const refusal = new Refusal({ code: 'BAD_USER_INPUT', field: 'input.name' })
    const { page, asked } = await open({ UpdateChannel: refusal })
    const form = page.find('[data-test=channel-form]')
    await form.find('input').setValue('Another')
    await form.trigger('submit')
    await flushPromises()
    expect(asked('UpdateChannel')).toEqual([{ input: { id: channel.id, name: 'Another' } }])
    expect(form.find('.field-error').text()).toBe('One line of 1 to 100 characters.')
  })

  it('shows a stream among the past ones once it has ended', async () => {
    const { page, event, answers } = await open()
    event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    answers['PastStreams'] = {
      channel: { id: channel.id, pastStreams: { nodes: [past], pageInfo: last } },
    }
    const ended = aStream(LOC, { state: 'ENDED' })
    event({ __typename: 'StreamStopped', stream: ended, reason: 'ENDED_BY_OWNER' })
    await flushPromises()
    const cells = page.findAll('[data-test=past] td').map((cell) => cell.text())
    expect(cells[0]).toBe('Last Friday')
    expect(cells.slice(2)).toEqual(['1:02:03', '12', '34', 'Ended by the owner', 'Viewers'])
  })

  it('draws how many watched a past stream, when somebody wants to see it', async () => {
    const audience = [
      { at: '2026-01-01T20:00:00Z', viewers: 5 },
      { at: '2026-01-01T20:30:00Z', viewers: 12 },
    ]
    const { page, asked } = await open({
      PastStreams: { channel: { id: channel.id, pastStreams: { nodes: [past], pageInfo: last } } },
      StreamAudience: { node: { id: 'past', audience } },
    })
    expect(asked('StreamAudience')).toEqual([])
    const button = page.find('[data-test=past-chart]')
    expect(button.attributes('aria-label')).toBe('Viewers of “Last Friday” over time')
    await button.trigger('click')
    await flushPromises()
    expect(asked('StreamAudience')).toEqual([{ id: 'past' }])
    expect(page.find('[data-test=past] figcaption').text()).toContain('12 at most')
    await button.trigger('click')
    expect(page.find('[data-test=past] figure').exists()).toBe(false)
  })

  it('begins the chart of what is on the air with what was before', async () => {
    const audience = [{ at: '2026-01-01T20:00:00Z', viewers: 40 }]
    const { page, event } = await open({ StreamAudience: { node: { id: 's', audience } } })
    event({ __typename: 'StreamStarted', stream: aStream(LOC) })
    await flushPromises()
    expect(page.find('[data-test=on-air]').text()).toContain('3 now, 40 at most')
  })

  it('is closed to whoever does not own the channel', async () => {
    const { page } = await open({ StudioChannel: { channel: { ...channel, ingest: null } } })
    expect(page.find('[data-test=denied]').text()).toContain('This channel is not yours')
    expect(page.find('[data-test=connect]').exists()).toBe(false)
  })
})

describe('who may watch', () => {
  const tom = { id: 'user tom', handle: 'tom', displayName: 'Tom' }

  it('is invited by handle, and let go again', async () => {
    const { page, asked, answers } = await open({
      InviteViewer: new Refusal({ code: 'NOT_FOUND' }),
    })
    const access = page.find('[data-test=access]')
    const invite = async () => {
      await access.find('[data-test=invite] input').setValue(' Tom ')
      await access.find('[data-test=invite]').trigger('submit')
      await flushPromises()
    }
    await invite()
    expect(access.find('.field-error').text()).toBe('Nobody has this handle.')
    answers['InviteViewer'] = { inviteViewer: { user: tom } }
    await invite()
    expect(asked('InviteViewer')[1]).toEqual({ input: { channelId: channel.id, handle: 'tom' } })
    answers['UninviteViewer'] = { uninviteViewer: { channel: { id: channel.id } } }
    await access.find('[data-test=invited] button').trigger('click')
    await flushPromises()
    expect(access.find('[data-test=invited]').exists()).toBe(false)
  })

  it('may come by a password, which is set and removed and never shown', async () => {
    const set = (opensWithPassword: boolean) => ({
      updateChannel: { channel: { id: channel.id, opensWithPassword } },
    })
    const { page, asked, answers } = await open({ SetChannelPassword: set(true) })
    const access = page.find('[data-test=access]')
    await access.find('[data-test=channel-password] input').setValue('open sesame')
    await access.find('[data-test=channel-password]').trigger('submit')
    await flushPromises()
    expect(access.text()).toContain('The password is set.')
    expect(page.html()).not.toContain('sesame')
    answers['SetChannelPassword'] = set(false)
    await access.find('[data-test=clear-password]').trigger('click')
    await flushPromises()
    expect(asked('SetChannelPassword').map(({ password }) => password)).toEqual([
      'open sesame',
      null,
    ])
    expect(access.find('[data-test=clear-password]').exists()).toBe(false)
  })
})

describe('recordings', () => {
  const recording = (more: object = {}) => ({
    id: 'rec_1',
    name: 'Last Friday',
    state: 'READY',
    failureReason: null,
    published: true,
    durationSeconds: 65,
    bytes: 1_500_000,
    views: 3,
    startedAt: '2026-01-01T20:00:00Z',
    posterUrl: null,
    ...more,
  })
  const list = (...nodes: object[]) => ({
    channel: { id: channel.id, recordings: { nodes, pageInfo: last } },
  })

  it('become ready while one looks on', async () => {
    const { page, tell } = await open({ Recordings: list(recording({ state: 'PROCESSING' })) })
    const state = () => page.find('[data-test=recording-state]').text()
    expect(state()).toBe('being prepared')
    expect(page.find('[data-test=publish]').exists()).toBe(false)
    tell('RecordingChanged', { recordingChanged: recording() })
    await flushPromises()
    expect(state()).toBe('for everybody who may watch')
    expect(page.find('[data-test=recordings]').text()).toContain('1.5 MB')
  })

  it('come to the list when they begin', async () => {
    const { page, answers, tell } = await open()
    expect(page.find('[data-test=recording]').exists()).toBe(false)
    const begun = recording({ state: 'RECORDING' })
    answers['Recordings'] = list(begun)
    tell('RecordingChanged', { recordingChanged: begun })
    await flushPromises()
    expect(page.find('[data-test=recording-state]').text()).toBe('being recorded')
  })

  it('say why nothing can be played of one', async () => {
    const failed = recording({ state: 'FAILED', failureReason: 'EMPTY' })
    const { page } = await open({ Recordings: list(failed) })
    expect(page.find('[data-test=recording-state]').text()).toBe('failed')
    expect(page.find('[data-test=recording]').text()).toContain('before there was anything')
  })

  it('are taken back, and deleted after a warning', async () => {
    const { page, answers, asked } = await open({ Recordings: list(recording()) })
    answers['UpdateRecording'] = { updateRecording: { recording: recording({ published: false }) } }
    answers['Recordings'] = list(recording({ published: false }))
    await page.find('[data-test=publish]').trigger('click')
    await flushPromises()
    expect(asked('UpdateRecording')).toEqual([{ input: { id: 'rec_1', published: false } }])
    expect(page.find('[data-test=recording-state]').text()).toBe('for you alone')
    answers['DeleteRecording'] = { deleteRecording: { deletedRecordingId: 'rec_1' } }
    answers['Recordings'] = list()
    await page.find('[data-test=delete-recording]').trigger('click')
    await page.find('form[data-test=delete-recording]').trigger('submit')
    await flushPromises()
    expect(page.find('[data-test=recording]').exists()).toBe(false)
  })
})

describe('the cover of a channel', () => {
  const file = new File(['x'], 'cover.png')
  const sent = vi.mocked(uploadCover)

  async function choose(page: Awaited<ReturnType<typeof open>>['page'], chosen = file) {
    const input = page.find('[data-test=cover] input')
    Object.defineProperty(input.element, 'files', { value: [chosen], configurable: true })
    await input.trigger('change')
    await flushPromises()
  }

  it('is uploaded, shown, and removed again', async () => {
    const { page, asked } = await open({ UpdateChannel: { updateChannel: { channel } } })
    const card = page.find('[data-test=cover]')
    expect(card.text()).toContain('No picture yet.')
    let finish: (came: { imageUrl: string }) => void = () => {}
    sent.mockImplementationOnce((_loc, _file, progress) => {
      progress(0.5)
      return new Promise((resolve) => (finish = resolve))
    })
    await choose(page)
    expect(sent.mock.calls[0]!.slice(0, 2)).toEqual([LOC, file])
    expect(card.find('progress').attributes('value')).toBe('0.5')
    expect(card.find('img').attributes('src')).toMatch(/^blob:/)
    finish({ imageUrl: '/covers/a/b.jpg' })
    await flushPromises()
    expect(card.find('progress').exists()).toBe(false)
    expect(card.find('img').attributes('src')).toBe('/covers/a/b.jpg')
    expect(card.find('[role=status]').text()).toBe('This is the cover now.')
    await card.find('[data-test=remove-cover]').trigger('click')
    await flushPromises()
    expect(asked('UpdateChannel')).toEqual([{ input: { id: channel.id, imageUrl: null } }])
    expect(card.find('img').exists()).toBe(false)
  })

  it('says what is wrong with a file, and does not even send one that is too large', async () => {
    const { page } = await open()
    const words = () => page.find('[data-test=cover] [data-test=failure]').text()
    const failure = { code: 'BAD_USER_INPUT', field: 'body' } as const
    sent.mockResolvedValueOnce({ failure, fault: 'noPicture' })
    await choose(page)
    expect(words()).toContain('This is not a PNG, JPEG or WebP')
    sent.mockResolvedValueOnce({ failure: { code: 'RATE_LIMITED', retryAfterSeconds: 30 } })
    await choose(page)
    expect(words()).toContain('Wait 30 seconds')
    const before = sent.mock.calls.length
    await choose(page, { size: 9e6 } as File)
    expect(words()).toContain('larger than 8 MiB')
    expect(sent.mock.calls.length).toBe(before)
  })
})

describe('clips', () => {
  const clip = {
    id: 'cl_1',
    title: 'What a goal',
    createdAt: '2026-01-01T20:00:00Z',
    durationSeconds: 31,
    bytes: 5_000_000,
    posterUrl: null,
    creator: { id: 'user tom', displayName: 'Tom' },
  }
  const clips = (...nodes: object[]) => ({
    channel: { id: channel.id, protected: false, clips: { nodes, pageInfo: last } },
  })

  it('are listed with who made them, and deleted after a warning', async () => {
    const { page, answers, asked } = await open({
      Clips: clips(clip),
      DeleteClip: { deleteClip: { deletedClipId: 'cl_1' } },
    })
    const listed = page.find('[data-test=clip]')
    expect(listed.text()).toContain('by Tom · 0:31 · 5 MB')
    expect(listed.find('a').attributes('href')).toBe(`/view/${LOC}/?clip=cl_1`)
    await listed.find('[data-test=delete-clip]').trigger('click')
    answers['Clips'] = clips()
    await page.find('form[data-test=delete-clip]').trigger('submit')
    await flushPromises()
    expect(asked('DeleteClip')).toEqual([{ input: { id: 'cl_1' } }])
    expect(page.find('[data-test=clips]').text()).toContain('what viewers cut out of your streams')
  })

  it('are allowed or not, as the owner says', async () => {
    const { page, asked } = await open({
      UpdateChannel: { updateChannel: { channel: { ...channel, clipsEnabled: false } } },
    })
    const form = page.find('[data-test=channel-form]')
    const label = form.findAll('label').find((one) => one.text() === 'Clips')!
    await form.find(`[id='${label.attributes('for')}']`).setValue(false)
    await form.trigger('submit')
    await flushPromises()
    expect(asked('UpdateChannel')).toEqual([{ input: { id: channel.id, clipsEnabled: false } }])
    expect(page.find('[data-test=clips]').text()).toContain('With “Clips” switched on')
  })
})
