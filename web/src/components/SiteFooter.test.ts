import { flushPromises } from '@vue/test-utils'
import { afterEach, expect, it, vi } from 'vitest'
import { fakeServer, visit } from '../testing/site'
import SiteFooter from './SiteFooter.vue'

afterEach(() => {
  localStorage.clear()
  document.body.innerHTML = ''
})

it('speaks the language that is chosen, and remembers it', async () => {
  const { page } = await visit(SiteFooter, fakeServer())
  expect(page.find('p').text()).toBe('Live video, straight from this server.')
  await page.find('[data-test=language]').setValue('zh')
  await vi.waitFor(() => expect(page.find('p').text()).toBe('视频直播，直接来自这台服务器。'))
  await flushPromises()
  expect(document.documentElement.lang).toBe('zh-Hans')
  expect({ ...localStorage }).toEqual({ 'tally.language': 'zh' })
})
