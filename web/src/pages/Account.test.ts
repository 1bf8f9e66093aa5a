import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import SiteHeader from '../components/SiteHeader.vue'
import { fakeServer, Refusal, somebody, visit, type Answers } from '../testing/site'
import Account from './Account.vue'
import SignIn from './SignIn.vue'
import SignUp from './SignUp.vue'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.useRealTimers()
  document.body.innerHTML = ''
})

type Visited = Awaited<ReturnType<typeof visit>>

async function fill(page: Visited['page'], ...values: string[]) {
  const inputs = page.findAll('input')
  for (const [index, value] of values.entries()) await inputs[index]!.setValue(value)
  await page.find('form').trigger('submit')
  await flushPromises()
}

const said = (page: Visited['page']) => page.find('[data-test=failure]').text()

describe('signing in', () => {
  const signIn = (answer: object | Refusal, at = '/sign-in') => {
    const server = fakeServer({ SignIn: answer })
    return visit(SignIn, server, { at }).then((visited) => ({ ...visited, server }))
  }

  it('goes on where one wanted to go, with a socket of its own', async () => {
    const answer = { signIn: { user: somebody('STREAMER') } }
    const { page, router, session, reconnects, server } = await signIn(
      answer,
      '/sign-in?next=/studio',
    )
    await fill(page, ' Mia ', 'a password')
    expect(server.asked('SignIn')).toEqual([{ input: { handle: 'mia', password: 'a password' } }])
    expect(session.me.value?.handle).toBe('mia')
    expect(router.currentRoute.value.fullPath).toBe('/studio')
    expect(reconnects()).toBe(1)
  })

  it('keeps nothing that a script could read', async () => {
    const { page } = await signIn({ signIn: { user: somebody('STREAMER') } })
    await fill(page, 'mia', 'a password')
    expect(JSON.stringify({ ...localStorage, ...sessionStorage })).toBe('{}')
    expect(document.cookie).toBe('')
  })

  it.each([
    ['UNAUTHENTICATED', 'Handle and password do not belong together.'],
    ['FORBIDDEN', 'This account has been suspended.'],
    ['UNAVAILABLE', 'The server is busy or restarting.'],
  ])('says what to do about %s', async (code, words) => {
    const { page, session } = await signIn(new Refusal({ code }))
    await fill(page, 'mia', 'wrong')
    expect(said(page)).toContain(words)
    expect(page.find('[role=alert]').text()).toContain(words)
    expect(session.me.value).toBeNull()
  })

  it('counts down until one may try again, and says it aloud once', async () => {
    const { page } = await signIn(new Refusal({ code: 'RATE_LIMITED', retryAfterSeconds: 3 }))
    await fill(page, 'mia', 'wrong')
    expect(said(page)).toContain('Wait 3 seconds')
    await vi.advanceTimersByTimeAsync(2_000)
    expect(said(page)).toContain('Wait one second')
    await vi.advanceTimersByTimeAsync(1_000)
    expect(said(page)).toBe('You can try again now.')
    expect(page.find('[role=alert]').text()).toContain('Wait 3 seconds')
  })

  it('tells the number of what went wrong on the server', async () => {
    const { page } = await signIn(new Refusal({ code: 'INTERNAL', requestId: 'abc123' }))
    await fill(page, 'mia', 'a password')
    expect(said(page)).toContain('abc123')
  })
})

describe('signing up', () => {
  const signUp = async (answer: object | Refusal, language: 'en' | 'zh' = 'en') => {
    const server = fakeServer({ SignUp: answer })
    return { ...(await visit(SignUp, server, { at: '/sign-up', language })), server }
  }

  it('makes an account and signs in, with the handle as the name when there is none', async () => {
    const { page, session, server } = await signUp({ signUp: { user: somebody('VIEWER') } })
    await fill(page, 'mia', '', 'a password')
    expect(server.asked('SignUp')).toEqual([{ input: { handle: 'mia', password: 'a password' } }])
    expect(session.me.value?.role).toBe('VIEWER')
  })

  it('says at the field that a handle is taken, in the language of the page', async () => {
    const taken = new Refusal({ code: 'CONFLICT', field: 'input.handle' })
    const { page } = await signUp(taken, 'zh')
    await fill(page, 'mia', '', 'a password')
    const input = page.find('input')
    expect(input.attributes('aria-invalid')).toBe('true')
    const error = document.getElementById(input.attributes('aria-describedby')!.split(' ')[1]!)
    expect(error?.textContent).toBe('此用户名已被使用，请换一个。')
    expect(page.find('[data-test=failure]').exists()).toBe(false)
  })

  it('says so where the operator makes the accounts', async () => {
    const { page } = await signUp(new Refusal({ code: 'FORBIDDEN' }))
    await fill(page, 'mia', 'Mia', 'a password')
    expect(said(page)).toContain('the operator makes the accounts')
  })
})

describe('the account', () => {
  it('is for whoever is signed in, and others are led to the door and back', async () => {
    const { page } = await visit(Account, fakeServer(), { at: '/account' })
    expect(page.find('[data-test=gate] a').attributes('href')).toBe('/sign-in?next=/account')
  })

  it('signs out, and the socket is opened anew as nobody', async () => {
    const server = fakeServer({ Sessions: { me: null }, SignOut: { signOut: true } })
    const { page, session, router, reconnects } = await visit(Account, server, {
      at: '/account',
      me: somebody('VIEWER'),
    })
    expect(page.find('h1').text()).toBe('Mia')
    await page.find('[data-test=sign-out]').trigger('click')
    await flushPromises()
    expect(session.me.value).toBeNull()
    expect(reconnects()).toBe(1)
    expect(router.currentRoute.value.path).toBe('/')
  })

  it('stays signed in when signing out fails, and says so', async () => {
    const server = fakeServer({
      Sessions: { me: null },
      SignOut: new Refusal({ code: 'UNAVAILABLE' }),
    })
    const { page, session } = await visit(Account, server, { me: somebody('VIEWER') })
    await page.find('[data-test=sign-out]').trigger('click')
    await flushPromises()
    expect(session.me.value).not.toBeNull()
    expect(said(page)).toContain('Try again in a moment.')
  })
})

describe('sessions and the password', () => {
  const session = (id: string, current: boolean) => ({
    id,
    current,
    createdAt: '2026-01-01T00:00:00Z',
    expiresAt: '2026-02-01T00:00:00Z',
  })
  const open = async (answers: Answers = {}) => {
    const both = { me: { id: 'user', sessions: [session('a', true), session('b', false)] } }
    const server = fakeServer({ Sessions: both, ...answers })
    return { ...(await visit(Account, server, { me: somebody('VIEWER') })), ...server }
  }
  const change = async (page: Visited['page']) => {
    const form = page.find('[data-test=password] form')
    const [current, wanted] = form.findAll('input[type=password]')
    await current!.setValue('a password')
    await wanted!.setValue('another one')
    await form.trigger('submit')
    await flushPromises()
    return form
  }

  it('lists where one is signed in, and ends any but this one', async () => {
    const { page, answers, asked } = await open({
      RevokeSession: { revokeSession: { revokedSessionId: 'b' } },
    })
    const rows = () => page.findAll('[data-test=session]')
    expect(rows().map((row) => row.find('button').exists())).toEqual([false, true])
    expect(rows()[0]!.text()).toContain('This browser')
    answers['Sessions'] = { me: { id: 'user', sessions: [session('a', true)] } }
    await rows()[1]!.find('button').trigger('click')
    await flushPromises()
    expect(asked('RevokeSession')).toEqual([{ input: { sessionId: 'b' } }])
    expect(rows()).toHaveLength(1)
  })

  it('changes the password, says what ended with it, and reads the list again', async () => {
    const { page, asked } = await open({
      ChangePassword: { changePassword: { revokedSessions: 1 } },
    })
    const form = await change(page)
    expect(asked('ChangePassword')).toEqual([
      { input: { current: 'a password', new: 'another one' } },
    ])
    expect(form.text()).toContain('one other session has ended')
    expect(asked('Sessions')).toHaveLength(2)
    const fields = form.findAll('input[type=password]').map((input) => input.element)
    expect(fields.map((input) => (input as HTMLInputElement).value)).toEqual(['', ''])
  })

  it('says at the field that the present password is another one', async () => {
    const wrong = new Refusal({ code: 'BAD_USER_INPUT', field: 'input.current' })
    const { page } = await open({ ChangePassword: wrong })
    const form = await change(page)
    expect(form.find('.field-error').text()).toBe('This is not the password of this account.')
  })
})

describe('the header', () => {
  it('shows who is signed in, and the dashboard to admins alone', async () => {
    const nobody = await visit(SiteHeader, fakeServer())
    expect(nobody.page.find('[data-test=account]').text()).toBe('Sign in')
    const streamer = await visit(SiteHeader, fakeServer(), { me: somebody('STREAMER') })
    expect(streamer.page.find('[data-test=account] .sr-only').text()).toBe('Account of Mia')
    expect(streamer.page.text()).not.toContain('Dashboard')
    const admin = await visit(SiteHeader, fakeServer(), { me: somebody('ADMIN') })
    expect(admin.page.text()).toContain('Dashboard')
  })
})
