#!/bin/busybox sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The first and only process of a virtual machine of the tests: it runs what
# the host sends on the virtio port, one command after the other. A request is
# a line `NUMBER COMMAND`, the command in base64; the reply is a line
# `NUMBER STATUS LENGTH`, then LENGTH bytes: what the command printed.
export PATH=/sbin:/bin
/bin/busybox mkdir -p /bin /sbin /dev /proc /sys /tmp /run /mnt
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
for module in $(cat /modules/order); do
  insmod "/modules/$module" || echo "vm_init: cannot load $module"
done
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  ip link set eth0 up
  ip addr add 10.0.2.15/24 dev eth0
fi

port=$(echo /dev/vport*p1)
exec 3<>"$port"
while read -r number command <&3; do
  echo "$command" | base64 -d >/run/command
  sh /run/command </dev/null >/run/output 2>&1 3>&-
  echo "$number $? $(stat -c %s /run/output)" >&3
  cat /run/output >&3
done
poweroff -f
