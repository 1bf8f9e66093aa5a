import type { StudioChannelFragment } from '../graphql/graphql'

/** What the form of a channel holds. */
export interface ChannelFields {
  name: string
  description: string
  /** A topic's slug, or empty for none. */
  topic: string
  /** Empty for the channel's own name. */
  defaultStreamName: string
  protected: boolean
  record: boolean
  chatEnabled: boolean
  clipsEnabled: boolean
}

export function fieldsOf(channel: StudioChannelFragment | null): ChannelFields {
  return {
    name: channel?.name ?? '',
    description: channel?.description ?? '',
    topic: channel?.topic?.slug ?? '',
    defaultStreamName: channel?.defaultStreamName ?? '',
    protected: channel?.protected ?? false,
    record: channel?.record ?? false,
    chatEnabled: channel?.chatEnabled ?? true,
    clipsEnabled: channel?.clipsEnabled ?? true,
  }
}

function inputOf(fields: ChannelFields) {
  const name = fields.name.trim()
  return {
    ...fields,
    name,
    topic: fields.topic === '' ? null : fields.topic,
    defaultStreamName: fields.defaultStreamName.trim() || name,
  }
}

export const toCreate = inputOf

/** Only what is different: a topic that was retired since must not be refused for staying. */
export function toUpdate(before: StudioChannelFragment, fields: ChannelFields) {
  const [old, now] = [inputOf(fieldsOf(before)), inputOf(fields)]
  const changed = Object.entries(now).filter(
    ([key, value]) => old[key as keyof typeof old] !== value,
  )
  return { id: before.id, ...(Object.fromEntries(changed) as Partial<typeof now>) }
}

/**
 * Gives the key under which a change is made once: the same one for the same input, so that trying
 * again after a lost answer changes nothing twice.
 */
export function onceKeys(random: () => string = randomKey) {
  let last = { input: '', key: '' }
  return (input: object): string => {
    const text = JSON.stringify(input)
    if (text !== last.input) last = { input: text, key: random() }
    return last.key
  }
}

/** 128 random bits; `randomUUID` is not there on pages that came without encryption. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
