import 'video.js/dist/video-js.css'
import type videojs from 'video.js'
import { choice, heightsOf, keepTo, type Size } from './sizes'

export type Player = ReturnType<typeof videojs>

export interface LiveTracker {
  isLive(): boolean
  behindLiveEdge(): boolean
  seekToLiveEdge(): void
  on(events: string[], listener: () => void): void
}

/** The engine, once there is something to play; the player's types leave it out. */
interface Engine {
  playlists: { on(event: string, listener: () => void): void }
  /** There as soon as a playlist has been read. */
  representations?(): Size[]
}

interface MenuItem {
  on(events: string[], listener: () => void): void
  selected(selected: boolean): void
}

interface MenuButton {
  createItems(): MenuItem[]
  setIcon(name: string): void
  /** Makes the menu anew; one without items is hidden, and so is its button. */
  update(): void
}

/** What our own parts of the player say, by the names that it looks their words up under. */
export const says = {
  goBack: 'tally-go-back',
  size: 'tally-size',
  sizeAuto: 'tally-size-auto',
} as const

/** The player is as large as the rest of the site together, so only a page that plays loads it. */
export async function loadPlayer(
  language: string,
  words: Partial<Record<keyof typeof says, string>> = {},
): Promise<typeof videojs> {
  // The CSP forbids style elements made by scripts; ours is a file. Must be set before the import.
  Object.assign(window, { VIDEOJS_NO_DYNAMIC_STYLE: true })
  const { default: player } = await import('video.js')
  // A playlist that is away for a moment is this site's everyday life, not news for the console.
  player.log.level('error')
  if (language === 'zh') {
    const { default: its } = await import('video.js/dist/lang/zh-CN.json')
    player.addLanguage('zh', its)
  }
  const ours = Object.entries(words).map(([name, word]) => [says[name as keyof typeof says], word])
  player.addLanguage(language, Object.fromEntries(ours))
  return player
}

/** A button that goes back, beside the player's own for a pause. */
export function addGoBack(player: Player, goBack: () => void) {
  const options = { controlText: says.goBack, className: 'vjs-go-back', clickHandler: goBack }
  player.getChild('ControlBar')?.addChild('Button', options, 1).setIcon('replay-10')
}

/** A menu of the sizes that there are, where there is more than one. What was chosen holds whatever is loaded next. */
export function addSizes({ getComponent }: typeof videojs, player: Player) {
  const bar = player.getChild('ControlBar')
  if (!bar) return
  const place = bar.children().findIndex((child) => child.name() === 'FullscreenToggle')
  const options = { controlText: says.size, className: 'vjs-sizes' }
  const button = bar.addChild('MenuButton', options, place) as unknown as MenuButton
  const Item = getComponent('MenuItem') as unknown as new (of: Player, its: object) => MenuItem
  const engine = () => (player.tech(true) as { vhs?: Engine } | undefined)?.vhs
  const sizes = () => engine()?.representations?.() ?? []
  let shown: number[] = []
  let items = new Map<number | null, MenuItem>()

  function choose(height: number | null) {
    choice.height = height
    for (const [its, item] of items) item.selected(its === height)
    keepTo(sizes(), height)
  }

  function offer() {
    keepTo(sizes(), choice.height)
    const heights = heightsOf(sizes())
    // A menu that is open stays open when what is loaded anew comes in the same sizes.
    if (heights.join() === shown.join()) return
    shown = heights
    button.update()
  }

  button.createItems = () => {
    const heights = shown.length > 1 ? [null, ...shown] : []
    const chosen = shown.find((height) => height === choice.height) ?? null
    const made = heights.map((height) => {
      const label = height === null ? says.sizeAuto : `${height}p`
      const its = { label, selectable: true, selected: height === chosen }
      const item = new Item(player, its)
      item.on(['tap', 'click'], () => choose(height))
      return [height, item] as const
    })
    items = new Map(made)
    return [...items.values()]
  }
  button.setIcon('cog')
  button.update()
  // As early as can be, so that little comes in another size than the chosen one: the playlist may have
  // been read by then, or is about to be.
  player.on('loadstart', () => {
    if (engine()?.representations) offer()
    else engine()?.playlists.on('loadedmetadata', offer)
  })
}

export const playerOptions = {
  // With sound where the browser allows it, else muted: either way it plays by itself.
  autoplay: 'any',
  controls: true,
  fill: true,
  playsinline: true,
  preload: 'auto',
  liveui: true,
  liveTracker: { trackingThreshold: 0, liveTolerance: 8 },
  // Errors are answered by trying again, and the page says what viewers need to know.
  errorDisplay: false,
  // Its icon font is a data: URI, which the CSP forbids; the SVG icons are elements.
  experimentalSvgIcons: true,
  userActions: { hotkeys: true },
  html5: {
    // One engine everywhere, also where the browser claims to play HLS natively: ours is the tested one.
    // What keeps a size from being loaded is over in seconds, such as a machine too busy to make it; on a slow line the
    // player needs it back then, not after a minute.
    vhs: { overrideNative: true, playlistExclusionDuration: 5 },
    nativeAudioTracks: false,
    nativeVideoTracks: false,
  },
}
