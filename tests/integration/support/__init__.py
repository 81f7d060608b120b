# SPDX-License-Identifier: Apache-2.0
"""What integration tests share: the server under test, a client, a raw socket, process bookkeeping."""
