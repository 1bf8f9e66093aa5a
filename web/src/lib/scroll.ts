/** What a page shows has come by then, or will not. */
const MOST_MS = 2_000

/** Waits until the page is tall enough to be scrolled that far: what it shows comes after it. */
export function untilTall(top: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      observer.disconnect()
      resolve()
    }
    const timer = setTimeout(done, MOST_MS)
    const observer = new ResizeObserver(() => {
      if (document.documentElement.scrollHeight - window.innerHeight >= top) done()
    })
    observer.observe(document.body)
  })
}
