import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { chooseLanguage } from '../i18n'
import { en } from './en'
import { zh } from './zh'

type Tree = { [key: string]: string | Tree }

function flat(tree: Tree, path: string[] = []): Map<string, string> {
  const all = new Map<string, string>()
  for (const [key, value] of Object.entries(tree)) {
    if (typeof value === 'string') all.set([...path, key].join('.'), value)
    else for (const [name, text] of flat(value, [...path, key])) all.set(name, text)
  }
  return all
}

const english = flat(en)
const chinese = flat(zh)
const placeholders = (text: string) => [...new Set(text.match(/\{\w+\}/g))].sort()

/** What the pages are made of, without tests and what is generated. */
function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return ['graphql', 'locales'].includes(entry.name) ? [] : sources(path)
    return /\.(vue|ts)$/.test(entry.name) && !entry.name.includes('.test.') ? [path] : []
  })
}

const code = sources(resolve(import.meta.dirname, '..'))
  .map((path) => readFileSync(path, 'utf8'))
  .join('\n')

describe('the texts', () => {
  it('are the same ones in both languages', () => {
    expect([...chinese.keys()]).toEqual([...english.keys()])
  })

  it('name the same things in both languages', () => {
    for (const [key, text] of english) {
      // A plural of one thing may leave the number out.
      const forms = placeholders(text)
      const other = placeholders(chinese.get(key)!)
      expect(new Set([...forms, '{n}']), key).toEqual(new Set([...other, '{n}']))
    }
  })

  it('are all there that the pages ask for', () => {
    const asked = [...code.matchAll(/\bt\(\s*'([\w.]+)'/g)].map((match) => match[1]!)
    expect(asked.length).toBeGreaterThan(50)
    expect(asked.filter((key) => !english.has(key))).toEqual([])
  })

  it('are all asked for', () => {
    const quoted = new Set([...code.matchAll(/'([a-zA-Z]+\.\w+)'/g)].map((match) => match[1]!))
    const made = [...code.matchAll(/`(\w+\.)\$\{/g)].map((match) => match[1]!)
    const idle = [...english.keys()].filter(
      (key) => !quoted.has(key) && !made.some((prefix) => key.startsWith(prefix)),
    )
    expect(idle).toEqual([])
  })
})

describe('the language', () => {
  it("is the first of the browser's that there is", () => {
    expect(chooseLanguage(['fr-FR', 'zh-CN', 'en'])).toBe('zh')
    expect(chooseLanguage(['en-GB', 'zh'])).toBe('en')
  })

  it('is English for whoever reads none of them', () => {
    expect(chooseLanguage(['fr', 'de'])).toBe('en')
    expect(chooseLanguage([])).toBe('en')
  })
})
