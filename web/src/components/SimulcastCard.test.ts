import { flushPromises } from '@vue/test-utils'
import { afterEach, expect, it } from 'vitest'
import { fakeServer, Refusal, somebody, visit, type Answers } from '../testing/site'
import SimulcastCard from './SimulcastCard.vue'

const KEY_THERE = 'their_secret'
const URL = 'rtmp://live.example.net/app'
const target = (more: object = {}) => ({
  id: 'st_1',
  url: URL,
  enabled: true,
  state: 'IDLE',
  failureReason: null,
  ...more,
})
const list = (...simulcastTargets: object[]) => ({ channel: { id: 'ch_1', simulcastTargets } })

async function open(answers: Answers = {}) {
  const server = fakeServer({ SimulcastTargets: list(), ...answers })
  const visited = await visit(SimulcastCard, server, {
    me: somebody('STREAMER'),
    props: { loc: '0192d4e0-7d3c-7c1e-9c7a-000000000001', channelId: 'ch_1' },
  })
  return { ...visited, ...server }
}

afterEach(() => void (document.body.innerHTML = ''))

type Page = Awaited<ReturnType<typeof open>>['page']
const state = (page: Page) => page.find('[data-test=target-state]').text()

async function fill(page: Page, form: string, url: string, key: string) {
  const [first, second] = page.findAll(`${form} input`)
  await first!.setValue(url)
  await second!.setValue(key)
  await page.find(form).trigger('submit')
  await flushPromises()
}

it('says what it is for until there is some, and adds it without keeping the key in sight', async () => {
  const { page, answers, asked } = await open()
  expect(page.text()).toContain('can go to other services too')
  expect(page.findAll('input')[1]!.attributes('type')).toBe('password')
  answers['AddSimulcastTarget'] = { addSimulcastTarget: { target: { id: 'st_1' } } }
  answers['SimulcastTargets'] = list(target())
  await fill(page, '[data-test=add-target]', ` ${URL} `, KEY_THERE)
  expect(asked('AddSimulcastTarget')).toEqual([
    { input: { channelId: 'ch_1', url: URL, key: KEY_THERE } },
  ])
  expect(page.find('[data-test=target] code').text()).toBe(URL)
  expect(state(page)).toBe('waits for a stream')
  expect(page.findAll('input').map(({ element }) => element.value)).toEqual(['', ''])
  expect(page.html()).not.toContain(KEY_THERE)
})

it('says at the field what is wrong, and when there are as many as there may be', async () => {
  const { page, answers } = await open()
  const add = () => fill(page, '[data-test=add-target]', 'http://a', KEY_THERE)
  const errors = () => page.findAll('.field-error').map((one) => one.text())
  answers['AddSimulcastTarget'] = new Refusal({ code: 'BAD_USER_INPUT', field: 'input.url' })
  await add()
  expect(errors()).toEqual([expect.stringContaining('rtmp:// or rtmps://')])
  answers['AddSimulcastTarget'] = new Refusal({ code: 'BAD_USER_INPUT', field: 'input.key' })
  await add()
  expect(errors()).toEqual([expect.stringContaining('1 to 512 characters')])
  answers['AddSimulcastTarget'] = new Refusal({ code: 'CONFLICT', field: 'input.channelId' })
  await add()
  expect(page.find('[data-test=failure]').text()).toContain('8 of them')
  // Somebody else added them: they are here now, and no room is offered.
  const eight = Array.from({ length: 8 }, (_, n) => target({ id: `st_${n}` }))
  answers['SimulcastTargets'] = list(...eight)
  await add()
  expect(page.findAll('[data-test=target]')).toHaveLength(8)
  expect(page.find('[data-test=add-target]').exists()).toBe(false)
  expect(page.text()).toContain('8 of them at most')
})

it('shows how each stands as it changes, and why one failed', async () => {
  const { page, answers, tell } = await open({ SimulcastTargets: list(target()) })
  const now = (more: object) => tell('SimulcastChanged', { simulcastChanged: target(more) })
  now({ state: 'CONNECTING' })
  await flushPromises()
  expect(state(page)).toBe('connecting')
  now({ state: 'LIVE' })
  await flushPromises()
  expect(state(page)).toBe('on the air there')
  now({ state: 'FAILED', failureReason: 'UNREACHABLE' })
  await flushPromises()
  expect(page.find('[data-test=target]').text()).toContain('Nobody answers at that address')
  answers['SimulcastTargets'] = list(target(), target({ id: 'st_2', url: 'rtmps://b/c' }))
  tell('SimulcastChanged', { simulcastChanged: target({ id: 'st_2', url: 'rtmps://b/c' }) })
  await flushPromises()
  expect(page.findAll('[data-test=target] code').map((one) => one.text())).toEqual([
    URL,
    'rtmps://b/c',
  ])
})

it('believes what it is told while it reads rather than what it then reads', async () => {
  const updated = { updateSimulcastTarget: { target: { id: 'st_1' } } }
  const off = list(target({ enabled: false }))
  const server = await open({ SimulcastTargets: off, UpdateSimulcastTarget: updated })
  server.answers['SimulcastTargets'] = () => {
    server.tell('SimulcastChanged', { simulcastChanged: target({ state: 'LIVE' }) })
    return list(target({ state: 'CONNECTING' }))
  }
  await server.page.find('[data-test=switch-target]').trigger('click')
  await flushPromises()
  expect(state(server.page)).toBe('on the air there')
})

it('is switched off, changed and removed after a warning', async () => {
  const { page, answers, asked } = await open({
    SimulcastTargets: list(target({ state: 'LIVE' })),
    UpdateSimulcastTarget: { updateSimulcastTarget: { target: { id: 'st_1' } } },
    RemoveSimulcastTarget: { removeSimulcastTarget: { removedTargetId: 'st_1' } },
  })
  answers['SimulcastTargets'] = list(target({ enabled: false }))
  await page.find('[data-test=switch-target]').trigger('click')
  await flushPromises()
  expect(state(page)).toBe('switched off')
  expect(page.find('[data-test=switch-target]').text()).toContain('Switch on')

  const form = '[data-test=target] form'
  await page.find('[data-test=change-target]').trigger('click')
  await fill(page, form, URL, KEY_THERE)
  await page.find('[data-test=change-target]').trigger('click')
  expect(page.findAll(`${form} input`)[1]!.element).toHaveProperty('value', '')
  await fill(page, form, 'rtmps://b/c', '')
  await page.find('[data-test=change-target]').trigger('click')
  await fill(page, form, URL, '')
  expect(asked('UpdateSimulcastTarget').map(({ input }) => input)).toEqual([
    { id: 'st_1', enabled: false },
    { id: 'st_1', key: KEY_THERE },
    { id: 'st_1', url: 'rtmps://b/c' },
  ])

  answers['SimulcastTargets'] = list()
  await page.find('[data-test=remove-target]').trigger('click')
  expect(page.find('form[data-test=remove-target]').text()).toContain('the key is forgotten')
  await page.find('form[data-test=remove-target]').trigger('submit')
  await flushPromises()
  expect(asked('RemoveSimulcastTarget')).toEqual([{ input: { id: 'st_1' } }])
  expect(page.find('[data-test=target]').exists()).toBe(false)
})

it('says of one that changes what is wrong, at the field', async () => {
  const { page } = await open({
    SimulcastTargets: list(target()),
    UpdateSimulcastTarget: new Refusal({ code: 'BAD_USER_INPUT', field: 'input.key' }),
  })
  await page.find('[data-test=change-target]').trigger('click')
  await fill(page, '[data-test=target] form', URL, 'ключ')
  expect(page.find('[data-test=target] .field-error').text()).toContain('1 to 512 characters')
  expect(page.find('[data-test=target] [data-test=failure]').exists()).toBe(false)
})
