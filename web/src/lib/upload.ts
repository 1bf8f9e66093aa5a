import { failureFrom, type Failure } from './failure'

/** The server takes no larger ones. */
export const LARGEST = 8 * 1024 * 1024

/** What is wrong with a file that was sent as a picture. */
export type Fault = 'tooLarge' | 'noPicture' | 'tooManyPixels'

/** What came of an upload: the picture's path, or why there is none. */
export type Upload = { imageUrl: string } | { failure: Failure; fault?: Fault }

const FAULTS: Record<number, Fault> = { 413: 'tooLarge', 415: 'noPicture', 422: 'tooManyPixels' }

/** A file that need not be sent to be refused. */
export function isTooLarge(file: File): boolean {
  return file.size > LARGEST
}

/** Sends a cover, and tells how much of it has gone, 0 to 1. */
export function uploadCover(
  loc: string,
  file: File,
  progress: (part: number) => void,
): Promise<Upload> {
  return new Promise((resolve) => {
    // `fetch` does not tell how far it is.
    const request = new XMLHttpRequest()
    request.open('PUT', `/channels/${loc}/cover`)
    request.upload.onprogress = ({ loaded, total }) => progress(total > 0 ? loaded / total : 0)
    request.onload = () => resolve(read(request.status, request.responseText))
    request.onerror = () => resolve({ failure: { code: 'NETWORK' } })
    request.send(file)
  })
}

function read(status: number, text: string): Upload {
  let answer: { imageUrl?: string; errors?: { extensions?: Record<string, unknown> }[] } = {}
  try {
    answer = JSON.parse(text)
  } catch {
    // Not from the API: something between has answered.
    return { failure: { code: 'UNAVAILABLE' } }
  }
  if (answer.imageUrl) return { imageUrl: answer.imageUrl }
  const failure = failureFrom(answer.errors?.[0]?.extensions)
  const fault = FAULTS[status]
  return fault ? { failure, fault } : { failure }
}
