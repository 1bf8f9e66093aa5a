// PostGraphile asks for Node 22, of which it needs this one thing.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((...both) => ([resolve, reject] = both))
  return { promise, resolve, reject }
}
