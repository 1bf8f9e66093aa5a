import { expect, it } from 'vitest'
import { embedSnippet } from './embed'

it('is a frame of the player, whatever the channel is called', () => {
  const place = document.createElement('div')
  const name = '"><script>alert(1)</script> & co'
  place.innerHTML = embedSnippet('https://tally.example', 'abc', name)
  const [frame, ...rest] = place.children
  expect(rest).toEqual([])
  expect(frame?.getAttribute('src')).toBe('https://tally.example/embed/abc/')
  expect(frame?.getAttribute('title')).toBe(name)
})
