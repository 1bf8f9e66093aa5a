import type { Client } from '@urql/core'
import { computed, inject, readonly, ref, shallowRef, type InjectionKey } from 'vue'
import { MeDocument, SignOutDocument, type MeQuery, type Role } from './graphql/graphql'
import { backoff } from './lib/backoff'
import { failureOf, type Failure } from './lib/failure'

export type Me = NonNullable<MeQuery['me']>

const RANKS: Record<Role, number> = { VIEWER: 0, STREAMER: 1, MODERATOR: 2, ADMIN: 3 }

/**
 * Who is signed in, as the server says: the session itself is a cookie that no script can read.
 * `reconnect` opens the socket anew, which belongs to whoever opened it.
 */
export function createSession(client: Client, reconnect: () => void) {
  const me = shallowRef<Me | null>(null)
  const state = ref<'loading' | 'ready'>('loading')
  let asked = 0

  /** Asks who is signed in, until there is an answer. */
  async function refresh(): Promise<void> {
    const mine = ++asked
    for (let attempt = 0; mine === asked; attempt++) {
      const { data } = await client.query(MeDocument, {}).toPromise()
      if (mine !== asked) return
      if (data) {
        me.value = data.me ?? null
        state.value = 'ready'
        return
      }
      await new Promise((resolve) => setTimeout(resolve, backoff(attempt)))
    }
  }

  function become(user: Me | null) {
    asked++
    me.value = user
    state.value = 'ready'
    reconnect()
  }

  async function signOut(): Promise<Failure | null> {
    const { error } = await client.mutation(SignOutDocument, {}).toPromise()
    if (error) return failureOf(error)
    become(null)
    return null
  }

  const may = (role: Role) => me.value !== null && RANKS[me.value.role] >= RANKS[role]

  return {
    me: readonly(me),
    state: readonly(state),
    isAdmin: computed(() => may('ADMIN')),
    /** Whether the signed-in user has that role or a higher one. */
    may,
    refresh,
    signedIn: become,
    signOut,
  }
}

export type Session = ReturnType<typeof createSession>

export const sessionKey: InjectionKey<Session> = Symbol('session')

export function useSession(): Session {
  const session = inject(sessionKey)
  if (!session) throw new Error('no session was provided')
  return session
}
