import { createRouter, createWebHistory } from 'vue-router'
import Home from './pages/Home.vue'
import NotFound from './pages/NotFound.vue'

// Written without a group: the router would end the pattern at its bracket.
const UUID = [8, 4, 4, 4, 12].map((digits) => `[0-9a-fA-F]{${digits}}`).join('-')

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', name: 'home', component: Home, meta: { title: 'Tally' } },
    // What cannot be a channel's address falls through, and is never asked about.
    {
      path: `/view/:loc(${UUID})/`,
      name: 'watch',
      component: () => import('./pages/Watch.vue'),
      props: true,
    },
    {
      path: '/:rest(.*)*',
      component: NotFound,
      props: (to) => ({ what: to.path.startsWith('/view/') ? 'channel' : 'page' }),
      meta: { title: 'Not found · Tally' },
    },
  ],
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
})

router.afterEach((to) => {
  if (to.meta['title']) document.title = String(to.meta['title'])
})
