import { watch } from 'vue'
import { createRouter, createWebHistory } from 'vue-router'
import type { Texts } from './i18n'
import { untilTall } from './lib/scroll'
import Home from './pages/Home.vue'
import NotFound from './pages/NotFound.vue'
import { reload, stay } from './reload'

// Written without a group: the router would end the pattern at its bracket.
const UUID = [8, 4, 4, 4, 12].map((digits) => `[0-9a-fA-F]{${digits}}`).join('-')

/** Each page but the first is loaded when somebody goes there. `title` is the key of a text. */
const routes = [
  { path: '/', name: 'home', component: Home, meta: { title: 'title.home' } },
  // What cannot be a channel's address falls through, and is never asked about.
  {
    path: `/view/:loc(${UUID})/`,
    name: 'watch',
    component: () => import('./pages/Watch.vue'),
    props: true,
  },
  {
    path: '/sign-in',
    name: 'sign-in',
    component: () => import('./pages/SignIn.vue'),
    meta: { title: 'title.signIn' },
  },
  {
    path: '/sign-up',
    name: 'sign-up',
    component: () => import('./pages/SignUp.vue'),
    meta: { title: 'title.signUp' },
  },
  {
    path: '/account',
    name: 'account',
    component: () => import('./pages/Account.vue'),
    meta: { title: 'title.account' },
  },
  {
    path: '/studio',
    name: 'studio',
    component: () => import('./pages/Studio.vue'),
    meta: { title: 'title.studio' },
  },
  {
    path: '/studio/new',
    name: 'new-channel',
    component: () => import('./pages/NewChannel.vue'),
    meta: { title: 'title.newChannel' },
  },
  {
    path: `/studio/:loc(${UUID})/`,
    name: 'channel',
    component: () => import('./pages/StudioChannel.vue'),
    props: true,
  },
  {
    path: '/dashboard',
    name: 'dashboard',
    component: () => import('./pages/Dashboard.vue'),
    meta: { title: 'title.dashboard' },
  },
  {
    path: '/:rest(.*)*',
    component: NotFound,
    props: ({ path }: { path: string }) => ({
      what: path.startsWith('/view/') ? ('channel' as const) : ('page' as const),
    }),
    meta: { title: 'title.lost' },
  },
]

export function createSiteRouter(texts: Texts) {
  const { t, locale } = texts.global
  const router = createRouter({
    history: createWebHistory(),
    routes,
    // Another topic is the same page; another recording or clip is what the page is about.
    scrollBehavior: async (to, from, saved) => {
      if (saved) await untilTall(saved.top)
      const isKept = (key: string) => to.query[key] === from.query[key]
      const isSame = to.path === from.path && isKept('recording') && isKept('clip')
      return saved ?? (isSame ? {} : { top: 0 })
    },
  })
  // A page without a title of its own names itself by what it shows.
  const name = () => {
    const { title } = router.currentRoute.value.meta
    if (title) document.title = `${t(String(title))} · Tally`
  }
  router.afterEach((_to, _from, failure) => {
    name()
    if (!failure) stay()
  })
  // A page that cannot be had is asked for as a whole.
  router.onError((_error, to) => void reload(to.fullPath))
  watch(locale, name)
  return router
}
