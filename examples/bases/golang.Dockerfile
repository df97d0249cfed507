FROM scratch
ADD root.tar /
ENV GOPATH=/go PATH=/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LABEL org.ireko.local-base=true
WORKDIR /go
CMD ["bash"]
