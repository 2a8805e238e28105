"""A Google Cloud Storage of this process, spoken to over HTTP on loopback.

It knows as much of the JSON API as gcsfs, TensorStore and the C++ client that
reads ArrayRecord files ask for, so that code meets `gs://` paths as on a pod:
no directories, no renaming, objects that appear whole.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import email
import email.policy
import http.server
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
from typing import Any
from urllib import parse

_OBJECT = re.compile(r'^(?:/download)?/storage/v1/b/([^/]+)/o/(.+)$')
_LIST = re.compile(r'^/storage/v1/b/([^/]+)/o/?$')
_UPLOAD = re.compile(r'^/(?:resumable/)?upload/storage/v1/b/([^/]+)/o$')
_COPY = re.compile(
  r'^/storage/v1/b/([^/]+)/o/(.+?)/(?:copyTo|rewriteTo)/b/([^/]+)/o/(.+)$'
)
_MOVE = re.compile(r'^/storage/v1/b/([^/]+)/o/(.+?)/moveTo/o/(.+)$')
_RANGE = re.compile(r'bytes=(\d*)-(\d*)')
_STAMP = '2024-01-01T00:00:00.000Z'


@dataclasses.dataclass(frozen=True)
class Object:
  """Content and the number of its version."""

  content: bytes
  generation: int


class Bucket:
  """Objects by `bucket/name`; what failed to be understood is kept."""

  def __init__(self) -> None:
    self.objects: dict[str, Object] = {}
    self.unknown: list[str] = []
    self.sessions: dict[str, tuple[str, bytearray]] = {}
    self.numbers = itertools.count(1)
    self.lock = threading.Lock()

  def put(self, name: str, content: bytes) -> Object:
    with self.lock:
      found = Object(bytes(content), next(self.numbers))
      self.objects[name] = found
      return found

  def names(self, prefix: str = '') -> list[str]:
    with self.lock:
      return sorted(n for n in self.objects if n.startswith(prefix))


def _resource(name: str, found: Object) -> dict[str, Any]:
  bucket, _, inner = name.partition('/')
  return {
    'kind': 'storage#object',
    'id': f'{name}/{found.generation}',
    'name': inner,
    'bucket': bucket,
    'size': str(len(found.content)),
    'generation': str(found.generation),
    'metageneration': '1',
    'contentType': 'application/octet-stream',
    'timeCreated': _STAMP,
    'updated': _STAMP,
    'etag': str(found.generation),
  }


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'
  bucket: Bucket

  def log_message(self, format: str, *args: Any) -> None:
    pass

  def _answer(self, status: int, body: bytes = b'', **headers: str) -> None:
    self.send_response(status)
    self.send_header('Content-Length', str(len(body)))
    for name, value in headers.items():
      self.send_header(name.replace('_', '-'), value)
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(body)

  def _json(self, value: Any, status: int = 200) -> None:
    body = json.dumps(value).encode()
    self._answer(status, body, Content_Type='application/json')

  def _fail(self, status: int, reason: str) -> None:
    self._json({'error': {'code': status, 'message': reason}}, status)

  def _read(self) -> bytes:
    if self.headers.get('Transfer-Encoding') == 'chunked':
      parts = []
      while size := int(self.rfile.readline().split(b';')[0], 16):
        parts.append(self.rfile.read(size))
        self.rfile.readline()
      self.rfile.readline()
      return b''.join(parts)
    return self.rfile.read(int(self.headers.get('Content-Length') or 0))

  def _split(self) -> tuple[str, dict[str, str]]:
    asked = parse.urlsplit(self.path)
    return asked.path, dict(parse.parse_qsl(asked.query))

  def _unknown(self) -> None:
    self.bucket.unknown.append(f'{self.command} {self.path}')
    self._fail(400, 'the fake does not know this request')

  def _refuses(self, name: str, query: dict[str, str]) -> bool:
    """Whether a condition on the object's version is not met."""
    found = self.bucket.objects.get(name)
    there = found.generation if found else 0
    wanted = query.get('ifGenerationMatch')
    if wanted is not None and int(wanted) != there:
      self._fail(412, 'the version is another')
      return True
    unwanted = query.get('ifGenerationNotMatch')
    if unwanted is not None and int(unwanted) == there:
      self._answer(304)
      return True
    return False

  def do_GET(self) -> None:
    path, query = self._split()
    if match := _OBJECT.match(path):
      name = f'{match[1]}/{parse.unquote(match[2])}'
      return self._get(name, query, media=query.get('alt') == 'media')
    if match := _LIST.match(path):
      return self._list(match[1], query)
    if re.match(r'^/storage/v1/b/[^/]+$', path):
      return self._json({'name': path.split('/')[-1], 'location': 'US'})
    if len(parts := path.lstrip('/').split('/', 1)) == 2 and parts[1]:
      return self._get(parse.unquote('/'.join(parts)), query, media=True)
    return self._unknown()

  do_HEAD = do_GET

  def _get(self, name: str, query: dict[str, str], media: bool) -> None:
    if self._refuses(name, query):
      return
    found = self.bucket.objects.get(name)
    if found is None:
      return self._fail(404, f'no object {name}')
    if not media:
      return self._json(_resource(name, found))
    size, status = len(found.content), 200
    first, last = 0, size - 1
    headers = {
      'x_goog_generation': str(found.generation),
      'x_goog_metageneration': '1',
      'x_goog_stored_content_length': str(size),
      'ETag': str(found.generation),
      'Content_Type': 'application/octet-stream',
    }
    if match := _RANGE.match(self.headers.get('Range', '')):
      if match[1]:
        first = int(match[1])
        last = min(int(match[2]), last) if match[2] else last
      else:
        first = max(0, size - int(match[2]))
      if first >= size:
        return self._answer(416, Content_Range=f'bytes */{size}')
      status = 206
      headers['Content_Range'] = f'bytes {first}-{last}/{size}'
    return self._answer(status, found.content[first : last + 1], **headers)

  def _list(self, bucket: str, query: dict[str, str]) -> None:
    prefix, delimiter = query.get('prefix', ''), query.get('delimiter')
    items, prefixes = [], set()
    for name in self.bucket.names(f'{bucket}/{prefix}'):
      inner = name.partition('/')[2]
      if query.get('startOffset', '') > inner:
        continue
      if 'endOffset' in query and inner >= query['endOffset']:
        continue
      rest = inner[len(prefix) :]
      if delimiter and delimiter in rest:
        prefixes.add(prefix + rest.split(delimiter)[0] + delimiter)
      else:
        items.append(_resource(name, self.bucket.objects[name]))
    limit = int(query.get('maxResults', 10**6))
    self._json(
      {
        'kind': 'storage#objects',
        'items': items[:limit],
        'prefixes': sorted(prefixes),
      }
    )

  def do_POST(self) -> None:
    path, query = self._split()
    body = self._read()
    if 'upload_id' in query:
      return self._continue(query, body)
    if match := _UPLOAD.match(path):
      return self._upload(match[1], query, body)
    if match := _COPY.match(path):
      source = f'{match[1]}/{parse.unquote(match[2])}'
      found = self.bucket.objects.get(source)
      if found is None:
        return self._fail(404, f'no object {source}')
      target = f'{match[3]}/{parse.unquote(match[4])}'
      made = _resource(target, self.bucket.put(target, found.content))
      if '/copyTo/' in path:
        return self._json(made)
      return self._json({'done': True, 'resource': made})
    if match := _MOVE.match(path):
      source, target = (
        f'{match[1]}/{parse.unquote(name)}' for name in match.groups()[1:]
      )
      with self.bucket.lock:
        found = self.bucket.objects.pop(source, None)
      if found is None:
        return self._fail(404, f'no object {source}')
      made = self.bucket.put(target, found.content)
      return self._json(_resource(target, made))
    return self._unknown()

  def _upload(self, bucket: str, query: dict[str, str], body: bytes) -> None:
    kind = query.get('uploadType')
    name = f'{bucket}/{query.get("name", "")}'
    if kind == 'resumable':
      if 'name' not in query:
        name = f'{bucket}/{json.loads(body)["name"]}'
      number = str(next(self.bucket.numbers))
      self.bucket.sessions[number] = (name, bytearray())
      host = self.headers['Host']
      location = (
        f'http://{host}/upload/storage/v1/b/{bucket}/o?'
        f'uploadType=resumable&upload_id={number}'
      )
      return self._answer(200, Location=location)
    if kind == 'multipart':
      kind = self.headers['Content-Type'].encode()
      message = email.message_from_bytes(
        b'Content-Type: ' + kind + b'\r\n\r\n' + body,
        policy=email.policy.HTTP,
      )
      # Cut by hand: the parser would touch the ends of lines of the content.
      boundary = b'--' + message.get_boundary().encode()
      described, content = body.split(boundary)[1:3]
      described = described.lstrip(b'\r\n').split(b'\n', 1)[1]
      start = described.index(b'{')
      name = f'{bucket}/{json.loads(described[start:])["name"]}'
      for separator in (b'\r\n\r\n', b'\n\n'):
        if separator in content:
          content = content.split(separator, 1)[1]
          break
      body = content.removesuffix(b'\n').removesuffix(b'\r')
    if self._refuses(name, query):
      return
    self._json(_resource(name, self.bucket.put(name, body)))

  def do_PUT(self) -> None:
    _, query = self._split()
    self._continue(query, self._read())

  def _continue(self, query: dict[str, str], body: bytes) -> None:
    """A part of an upload in several; the object appears with the last."""
    if query.get('upload_id') not in self.bucket.sessions:
      return self._unknown()
    name, content = self.bucket.sessions[query['upload_id']]
    content.extend(body)
    if self.headers.get('Content-Range', '').endswith('/*'):
      return self._answer(308, Range=f'bytes=0-{len(content) - 1}')
    return self._json(_resource(name, self.bucket.put(name, content)))

  def do_DELETE(self) -> None:
    path, query = self._split()
    match = _OBJECT.match(path)
    if match is None:
      return self._unknown()
    name = f'{match[1]}/{parse.unquote(match[2])}'
    if self._refuses(name, query):
      return
    with self.bucket.lock:
      found = self.bucket.objects.pop(name, None)
    self._answer(204) if found else self._fail(404, f'no object {name}')


class _Server(http.server.ThreadingHTTPServer):
  daemon_threads = True

  def handle_error(self, request: Any, client_address: Any) -> None:
    """A client that hangs up early is none of our business."""


@contextlib.contextmanager
def serve() -> Iterator[tuple[Bucket, dict[str, str]]]:
  """Yields the bucket, and the environment in which clients find it."""
  bucket = Bucket()
  handler = type('Handler', (_Handler,), {'bucket': bucket})
  server = _Server(('127.0.0.1', 0), handler)
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  address = f'http://127.0.0.1:{server.server_port}'
  try:
    yield (
      bucket,
      {
        # etils: gcsfs and not TensorFlow, whose address cannot be changed.
        'EPATH_USE_TF': 'false',
        'STORAGE_EMULATOR_HOST': address,
        'FSSPEC_GCS': json.dumps({'token': 'anon'}),
        # TensorStore.
        'TENSORSTORE_GCS_HTTP_URL': address,
        'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'anything',
        # The C++ client inside ArrayRecord.
        'CLOUD_STORAGE_EMULATOR_ENDPOINT': address,
        'GCE_METADATA_HOST': '127.0.0.1:1',
        'NO_GCE_CHECK': 'true',
        # gcsfs would ask over gRPC what kind of bucket this is.
        'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',
      },
    )
  finally:
    server.shutdown()
    server.server_close()


def run(script: str, *arguments: str) -> tuple[dict[str, Any], list[str]]:
  """Runs Python in another process, against a bucket of its own.

  Args:
    script: prints `RESULT` and a JSON object as its last line.
    *arguments: of it, from `sys.argv[1]` on.

  Returns:
    The object, and all names there, `bucket/...`.
  """
  with serve() as (bucket, environment):
    done = subprocess.run(
      [sys.executable, '-c', script, *arguments],
      cwd=pathlib.Path(__file__).resolve().parents[1],
      env={**os.environ, **environment},
      capture_output=True,
      text=True,
      timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = bucket.names()
  line = done.stdout.splitlines()[-1].removeprefix('RESULT ')
  return json.loads(line), names
