import { afterEach, beforeEach, expect, it } from 'vitest'
import { choice, type Size } from './sizes'
import { addSizes, loadPlayer, playerOptions, type Player } from './videojs'

let player: Player

/** What the player would know once it has read a playlist of these sizes: as a rule after it has begun to load. */
function load(heights: number[], isReadBefore = false) {
  const sizes = heights.map((height) => {
    let enabled = true
    return { height, enabled: (on?: boolean) => (enabled = on ?? enabled) }
  })
  let read = () => {}
  const vhs = { playlists: { on: (_event: string, listener: () => void) => (read = listener) } }
  const representations = (): Size[] => sizes
  Object.assign(player, { tech: () => ({ vhs }) })
  if (isReadBefore) Object.assign(vhs, { representations })
  player.trigger('loadstart')
  Object.assign(vhs, { representations })
  read()
  return () => sizes.filter((size) => size.enabled()).map(({ height }) => height)
}

const menu = () => player.el().querySelector<HTMLElement>('div.vjs-sizes')!
const items = () => [...menu().querySelectorAll<HTMLElement>('[role=menuitemradio]')]
const labels = () => items().map((item) => item.querySelector('.vjs-menu-item-text')!.textContent)
const chosen = () => items().map((item) => item.getAttribute('aria-checked') === 'true')
/** The player's own events: it does not understand those of a document that no browser has made. */
function click(place: number) {
  const button = player.getChild('ControlBar')!.getChild('MenuButton') as unknown as {
    items: { trigger(event: string): void }[]
  }
  button.items[place]!.trigger('click')
}
const isHidden = () => menu().classList.contains('vjs-hidden')

beforeEach(async () => {
  const videojs = await loadPlayer('en', { size: 'Quality', sizeAuto: 'Auto' })
  const element = document.createElement('video-js')
  document.body.append(element)
  player = videojs(element, { ...playerOptions, autoplay: false })
  addSizes(videojs, player)
})
afterEach(() => {
  Object.assign(player, { tech: () => undefined })
  player.dispose()
  choice.height = null
  document.body.innerHTML = ''
})

it('offers the sizes that there are, where there is more than one', () => {
  expect(isHidden()).toBe(true)
  load([360, 720])
  expect(isHidden()).toBe(false)
  expect(labels()).toEqual(['Auto', '720p', '360p'])
  expect(chosen()).toEqual([true, false, false])
  const button = menu().querySelector('button')!
  expect(button.textContent).toBe('Quality')
  expect(button.getAttribute('aria-haspopup')).toBe('true')
  load([720])
  expect(isHidden()).toBe(true)
})

it('speaks another language as soon as it is chosen', async () => {
  const title = (part: string) =>
    player.el().querySelector(`${part} .vjs-control-text`)!.textContent
  await loadPlayer('zh', { size: '清晰度', sizeAuto: '自动' })
  player.language('zh')
  expect([title('.vjs-play-control'), title('.vjs-sizes')]).toEqual(['播放', '清晰度'])
  player.language('en')
  expect([title('.vjs-play-control'), title('.vjs-sizes')]).toEqual(['Play', 'Quality'])
})

it('holds what was chosen, whatever is loaded meanwhile', () => {
  const before = load([720, 360])
  click(2)
  expect(before()).toEqual([360])
  expect(chosen()).toEqual([false, false, true])
  const again = load([720, 360], true)
  expect(again()).toEqual([360])
  // The longer list, to go back in, has but one size.
  load([])
  expect(isHidden()).toBe(true)
  const back = load([720, 360])
  expect(back()).toEqual([360])
  expect(chosen()).toEqual([false, false, true])
  click(0)
  expect(back()).toEqual([720, 360])
  expect(chosen()).toEqual([true, false, false])
})

it('lets the player choose where there is nothing of that height', () => {
  load([720, 360])
  click(2)
  const other = load([1080, 480])
  expect(other()).toEqual([1080, 480])
  expect(chosen()).toEqual([true, false, false])
})
