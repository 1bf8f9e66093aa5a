import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { aStream, fakeServer, Refusal, somebody, visit, type Answers } from '../testing/site'
import Dashboard from './Dashboard.vue'

const last = { hasNextPage: false, endCursor: null }
const record = (kind: string, more: object = {}) => ({
  cursor: kind,
  node: {
    kind,
    at: '2026-01-01T00:00:00Z',
    times: 1,
    address: '192.0.2.1',
    detail: null,
    actor: { id: 'user mia', handle: 'mia' },
    subject: null,
    ...more,
  },
})
const records = (...edges: object[]) => ({ auditRecords: { edges, pageInfo: last } })
const account = (more: object = {}) => ({ ...somebody('VIEWER', 'tom'), suspension: null, ...more })
const music = { id: 'to_1', slug: 'music', name: 'Music', retired: false }

const fine = {
  version: '0.1.0',
  startedAt: '2026-01-01T00:00:00Z',
  database: { state: 'WORKS', answerMilliseconds: 1.26 },
  nginx: { state: 'WORKS', lastAnsweredAt: null },
  mediaDisk: { freeBytes: 25e9, totalBytes: 100e9 },
  liveStreams: 70,
  currentViewers: 900,
}

async function open(answers: Answers = {}, role: 'ADMIN' | 'MODERATOR' = 'ADMIN') {
  const server = fakeServer({
    LiveStreams: {
      liveStreams: { nodes: [aStream('a'), aStream('b')], pageInfo: last, eventCursor: '1' },
    },
    AuditRecords: records(record('SIGNED_IN')),
    Topics: { topics: [music] },
    Users: { users: { nodes: [account()], pageInfo: last } },
    SiteStatus: { siteStatus: fine },
    SiteAudience: { siteStatus: { audience: [{ at: '2026-01-01T00:00:00Z', viewers: 50 }] } },
    ...answers,
  })
  const visited = await visit(Dashboard, server, { me: somebody(role) })
  await vi.advanceTimersByTimeAsync(200)
  await flushPromises()
  return { ...visited, ...server }
}

type Page = Awaited<ReturnType<typeof open>>['page']
async function send(page: Page, form: string) {
  await page.find(form).trigger('submit')
  await flushPromises()
}
beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.useRealTimers()
  document.body.innerHTML = ''
})

it('is for admins, and asks nothing for others', async () => {
  const { page, asked } = await open({}, 'MODERATOR')
  expect(page.find('[data-test=gate]').text()).toContain('This page is for admins')
  expect(asked('AuditRecords')).toEqual([])
})

it('adds up the viewers of all that is on the air, as they come and go', async () => {
  const { page, count, event } = await open()
  const figure = (name: string) => page.find(`[data-test=${name}]`).text()
  expect([figure('streams'), figure('site-viewers')]).toEqual(['2', '6'])
  count('a', 40)
  await flushPromises()
  expect(figure('site-viewers')).toBe('43')
  const stopped = aStream('a', { state: 'ENDED' })
  event({ __typename: 'StreamStopped', stream: stopped, reason: 'PUBLISHER_GONE' })
  await flushPromises()
  expect([figure('streams'), figure('site-viewers')]).toEqual(['1', '3'])
})

it('says of more streams than are listed what the server says, and draws the hour before', async () => {
  const { page } = await open({
    LiveStreams: {
      liveStreams: {
        nodes: [aStream('a')],
        pageInfo: { hasNextPage: true, endCursor: 'a' },
        eventCursor: '1',
      },
    },
  })
  const figure = (name: string) => page.find(`[data-test=${name}]`).text()
  expect([figure('streams'), figure('site-viewers')]).toEqual(['70', '900'])
  expect(page.find('[data-test=site-on-air] figcaption').text()).toContain('900 at most')
})

it('begins the chart with what was before', async () => {
  const { page } = await open()
  expect(page.find('[data-test=site-on-air] figcaption').text()).toContain('6 now, 50 at most')
})

describe('users', () => {
  const users = (...nodes: object[]) => ({ users: { nodes, pageInfo: last } })
  const mia = { ...somebody('ADMIN'), suspension: null }

  it('are listed, searched as one types, and narrowed by role and standing', async () => {
    const { page, asked, answers } = await open({ Users: users(account(), mia) })
    expect(page.findAll('[data-test=user]').map((one) => one.attributes('data-handle'))).toEqual([
      'tom',
      'mia',
    ])
    answers['Users'] = users()
    const [role, standing] = page.findAll('[data-test=users] .tools select')
    await page.find('[data-test=users] input').setValue('t')
    await page.find('[data-test=users] input').setValue('to ')
    await vi.advanceTimersByTimeAsync(400)
    await role!.setValue('STREAMER')
    await standing!.setValue('true')
    await flushPromises()
    expect(page.find('[data-test=nobody]').text()).toContain('Nobody fits.')
    expect(asked('Users').map((one) => [one['search'], one['role'], one['suspended']])).toEqual([
      [null, null, null],
      ['to', null, null],
      ['to', 'STREAMER', null],
      ['to', 'STREAMER', true],
    ])
  })

  it('are given a role, and it is said when that cannot be', async () => {
    const { page, asked, answers } = await open({
      SetRole: { setRole: { user: account({ role: 'STREAMER' }) } },
    })
    expect(page.find('[data-test=save-role]').exists()).toBe(false)
    await page.find('[data-test=role] select').setValue('STREAMER')
    await send(page, '[data-test=role]')
    expect(asked('SetRole')).toEqual([{ input: { userId: 'user tom', role: 'STREAMER' } }])
    expect(page.find('[data-test=user]').text()).toContain('tom is now: Streamer.')
    expect(page.find('[data-test=save-role]').exists()).toBe(false)
    answers['SetRole'] = new Refusal({ code: 'CONFLICT', field: 'input.userId' })
    await page.find('[data-test=role] select').setValue('VIEWER')
    await send(page, '[data-test=role]')
    expect(page.find('[data-test=failure]').text()).toContain('This is the only admin.')
  })

  it('are shut out with a reason, and let in again', async () => {
    const suspension = { at: '2026-01-01T00:00:00Z', reason: 'Spam' }
    const { page, asked } = await open({
      SuspendUser: { suspendUser: { user: account({ suspension }) } },
      ReinstateUser: { reinstateUser: { user: account() } },
    })
    await page.find('[data-test=suspend]').trigger('click')
    const yes = page.find('[data-test=yes]').element as HTMLButtonElement
    expect(yes.disabled).toBe(true)
    await page.find('form[data-test=suspend] input').setValue('Spam')
    await send(page, 'form[data-test=suspend]')
    expect(asked('SuspendUser')).toEqual([{ input: { userId: 'user tom', reason: 'Spam' } }])
    expect(page.find('[data-test=suspended]').text()).toContain('Spam')
    await page.find('[data-test=reinstate]').trigger('click')
    await flushPromises()
    expect(page.find('[data-test=suspended]').exists()).toBe(false)
    expect(page.find('[data-test=suspend]').exists()).toBe(true)
  })
})

describe('the state of the parts', () => {
  it('is asked again by itself, and says what is away', async () => {
    const { page, answers, asked } = await open()
    const card = page.find('[data-test=status]')
    expect(card.text()).toContain('answers · 1.3 ms')
    expect(card.text()).toContain('25 GB of 100 GB free (25%)')
    const away = { state: 'AWAY', lastAnsweredAt: '2026-01-01T20:00:00Z' }
    const full = { freeBytes: 5e9, totalBytes: 100e9 }
    answers['SiteStatus'] = { siteStatus: { ...fine, nginx: away, mediaDisk: full } }
    await vi.advanceTimersByTimeAsync(10_000)
    await flushPromises()
    expect(card.text()).toContain('does not answer · last heard of')
    expect(card.text()).toContain('Room runs short')
    answers['SiteStatus'] = new Refusal({ code: 'UNAVAILABLE' })
    await vi.advanceTimersByTimeAsync(10_000)
    await flushPromises()
    expect(card.find('[data-test=status-failure]').text()).toContain('The database does not answer')
    expect(asked('SiteStatus')).toHaveLength(3)
  })
})

describe('topics', () => {
  it('are added, and a taken slug is said at its field', async () => {
    const chess = { id: 'to_2', slug: 'chess', name: 'Chess', retired: false }
    const { page, answers } = await open({
      CreateTopic: new Refusal({ code: 'CONFLICT', field: 'input.slug' }),
    })
    const [slug, name] = page.findAll('[data-test=add-topic] input')
    await slug!.setValue('chess')
    await name!.setValue('Chess')
    await send(page, '[data-test=add-topic]')
    expect(page.find('[data-test=add-topic] .field-error').text()).toContain('This slug is taken.')
    answers['CreateTopic'] = { createTopic: { topic: chess } }
    await send(page, '[data-test=add-topic]')
    const names = page.findAll('[data-test=topic]').map((topic) => topic.text())
    expect(names[0]).toContain('Chess')
  })

  it('are retired, stay in sight, and are offered again', async () => {
    const { page, asked } = await open({
      RetireTopic: ({ input }) => ({
        retireTopic: { topic: { ...music, retired: input.retired } },
      }),
    })
    for (const retired of [true, false]) {
      await page.find('[data-test=retire]').trigger('click')
      await flushPromises()
      expect(page.find('[data-test=topic]').text().includes('retired')).toBe(retired)
    }
    expect(asked('RetireTopic').map(({ input }) => input.retired)).toEqual([true, false])
  })
})

describe('the record', () => {
  it('says what, by whom, how often; the operator has no address', async () => {
    const { page } = await open({
      AuditRecords: records(
        record('SIGN_IN_FAILED', { times: 5, actor: null, detail: 'mia' }),
        record('PASSWORD_SET', { actor: null, address: null }),
      ),
    })
    const rows = page.findAll('[data-test=record]').map((shown) => shown.text())
    expect(rows[0]).toContain('Sign-in failed · 5 times')
    expect(rows[0]).toContain('192.0.2.1')
    expect(rows[1]).toContain('operator')
  })

  it('is narrowed by kind at once, and by handle when sent', async () => {
    const { page, asked } = await open()
    await page.find('[data-test=audit] select').setValue('KEY_READ')
    await flushPromises()
    await page.find('[data-test=audit] input').setValue('Mia')
    await send(page, '[data-test=audit] form')
    expect(asked('AuditRecords').map(({ kind, actor }) => [kind, actor])).toEqual([
      [null, null],
      ['KEY_READ', null],
      ['KEY_READ', 'mia'],
    ])
  })
})
