import { afterEach, expect, it, vi } from 'vitest'
import { isTooLarge, LARGEST, uploadCover } from './upload'

class Wire {
  static answer = { status: 200, text: '' }
  static sent: [string, string, unknown][] = []
  upload: { onprogress?: (event: { loaded: number; total: number }) => void } = {}
  onload = () => {}
  onerror = () => {}
  status = 0
  responseText = ''
  private to: [string, string] = ['', '']
  open(method: string, url: string) {
    this.to = [method, url]
  }
  send(body: unknown) {
    Wire.sent.push([...this.to, body])
    this.upload.onprogress?.({ loaded: 1, total: 4 })
    if (Wire.answer.status === 0) return this.onerror()
    this.status = Wire.answer.status
    this.responseText = Wire.answer.text
    this.onload()
  }
}

afterEach(() => vi.unstubAllGlobals())

const file = new File(['x'], 'cover.png')
async function upload(status: number, text: string) {
  vi.stubGlobal('XMLHttpRequest', Wire)
  Wire.answer = { status, text }
  const parts: number[] = []
  return { came: await uploadCover('LOC', file, (part) => parts.push(part)), parts }
}

it('sends the file itself, and tells how far it is', async () => {
  const { came, parts } = await upload(200, '{"imageUrl": "/covers/a.jpg"}')
  expect(came).toEqual({ imageUrl: '/covers/a.jpg' })
  expect(parts).toEqual([0.25])
  expect(Wire.sent.at(-1)).toEqual(['PUT', '/channels/LOC/cover', file])
})

it('says what is wrong with a file', async () => {
  const refused = '{"errors": [{"extensions": {"code": "BAD_USER_INPUT", "field": "body"}}]}'
  const failure = { code: 'BAD_USER_INPUT', field: 'body' }
  expect((await upload(413, refused)).came).toEqual({ failure, fault: 'tooLarge' })
  expect((await upload(415, refused)).came).toEqual({ failure, fault: 'noPicture' })
  expect((await upload(422, refused)).came).toEqual({ failure, fault: 'tooManyPixels' })
})

it('tells other failures as those of everything else', async () => {
  const limited = '{"errors": [{"extensions": {"code": "RATE_LIMITED", "retryAfterSeconds": 9}}]}'
  expect((await upload(429, limited)).came).toEqual({
    failure: { code: 'RATE_LIMITED', retryAfterSeconds: 9 },
  })
  expect((await upload(0, '')).came).toEqual({ failure: { code: 'NETWORK' } })
  expect((await upload(502, '<html>')).came).toEqual({ failure: { code: 'UNAVAILABLE' } })
})

it('need not send what is too large', () => {
  expect(isTooLarge(file)).toBe(false)
  expect(isTooLarge({ size: LARGEST + 1 } as File)).toBe(true)
})
