/**
 * The language as its reader's country writes it, if the browser says which that is: clocks and dates
 * differ between countries more than words do.
 */
export function regional(
  language: string,
  wanted: readonly string[] = navigator.languages,
): string {
  return wanted.find((tag) => tag.split('-')[0] === language) ?? language
}

/** A number for people: short once it is large. */
export function count(number: number, locale: string): string {
  const options =
    number < 10_000 ? {} : ({ notation: 'compact', maximumFractionDigits: 1 } as const)
  return new Intl.NumberFormat(regional(locale), options).format(number)
}

/** A part of a whole, in hundredths. */
export function share(part: number, locale: string): string {
  return new Intl.NumberFormat(regional(locale), { style: 'percent' }).format(part)
}

/** A measured number, to one digit behind the point. */
export function measure(number: number, locale: string): string {
  return new Intl.NumberFormat(regional(locale), { maximumFractionDigits: 1 }).format(number)
}

/** A length of time as a clock shows it: `7:05`, `1:02:33`. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000))
  const two = (part: number) => String(part).padStart(2, '0')
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}

export function day(at: string, locale: string): string {
  return new Intl.DateTimeFormat(regional(locale), { dateStyle: 'medium' }).format(new Date(at))
}

/** A moment to the minute, in the reader's own time zone. */
export function moment(at: string | number, locale: string): string {
  const options = { dateStyle: 'medium', timeStyle: 'short' } as const
  return new Intl.DateTimeFormat(regional(locale), options).format(new Date(at))
}

/** A moment of today, to the second. */
export function time(at: string, locale: string): string {
  return new Intl.DateTimeFormat(regional(locale), { timeStyle: 'medium' }).format(new Date(at))
}

/** What something takes on a disk. */
export function bytes(size: number, locale: string): string {
  const units = ['kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const
  const step = Math.min(units.length, Math.max(1, Math.floor(Math.log10(Math.max(size, 1)) / 3)))
  const options = { style: 'unit', unit: units[step - 1], maximumFractionDigits: 1 } as const
  return new Intl.NumberFormat(regional(locale), options).format(size / 1_000 ** step)
}
