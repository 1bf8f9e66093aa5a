import 'video.js/dist/video-js.css'
import type videojs from 'video.js'

export type Player = ReturnType<typeof videojs>

export interface LiveTracker {
  isLive(): boolean
  behindLiveEdge(): boolean
  seekToLiveEdge(): void
  on(events: string[], listener: () => void): void
}

/** The player is as large as the rest of the site together, so only a page that plays loads it. */
export async function loadPlayer(language: string): Promise<typeof videojs> {
  // The CSP forbids style elements made by scripts; ours is a file. Must be set before the import.
  Object.assign(window, { VIDEOJS_NO_DYNAMIC_STYLE: true })
  const { default: player } = await import('video.js')
  // A playlist that is away for a moment is this site's everyday life, not news for the console.
  player.log.level('error')
  if (language === 'zh') {
    const { default: words } = await import('video.js/dist/lang/zh-CN.json')
    player.addLanguage('zh', words)
  }
  return player
}

/** A button that goes back, beside the player's own for a pause. */
export function addGoBack(player: Player, label: string, goBack: () => void) {
  const options = { controlText: label, className: 'vjs-go-back', clickHandler: goBack }
  player.getChild('ControlBar')?.addChild('Button', options, 1).setIcon('replay-10')
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
    vhs: { overrideNative: true },
    nativeAudioTracks: false,
    nativeVideoTracks: false,
  },
}
